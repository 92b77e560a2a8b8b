"""Pictures that say their number and which way is up, legible after scaling, cropping and lossy coding."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB

_BITS = 8
_CELLS = _BITS + 2  # a white cell, the number's bits (highest first), a black cell
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))  # of the three fields below the bar code


def draw(number: int, width: int, height: int) -> Picture:
    """A picture that says its number (below 256) and which way is up: bar code above, red, green, blue below."""
    picture = np.full((height, width, 3), 128, np.uint8)
    bits = [1, *(number >> shift & 1 for shift in reversed(range(_BITS))), 0]
    for cell, bit in enumerate(bits):
        left, right = (round(at * width / _CELLS) for at in (cell, cell + 1))
        picture[: height // 2, left:right] = 235 if bit else 16
    for field, colour in enumerate(COLOURS):
        left, right = (round(at * width / 3) for at in (field, field + 1))
        picture[3 * height // 4 :, left:right] = colour
    return picture


def read_barcode(picture: Picture) -> int:
    """The number in a picture of any size. Raises `ValueError` where it is not upright or not legible."""
    height, width = picture.shape[:2]
    top, bottom = round(0.15 * height), round(0.35 * height)
    levels = []
    for cell in range(_CELLS):
        left, right = ((cell + at) * width / _CELLS for at in (0.35, 0.65))
        levels.append(float(picture[top:bottom, round(left) : max(round(left) + 1, round(right))].mean()))
    if any(80 < level < 176 for level in levels) or levels[0] < 128 or levels[-1] > 128:
        raise ValueError(f"no bar code: levels {[round(level) for level in levels]}")
    return sum((level > 128) << (_BITS - cell) for cell, level in enumerate(levels[1:-1], 1))


def read_colours(picture: Picture) -> NDArray[np.float64]:
    """Mean colours of the three fields, [3, RGB]."""
    height, width = picture.shape[:2]
    rows = slice(round(0.85 * height), round(0.93 * height))
    centres = [round((field + 0.5) * width / 3) for field in range(3)]
    return np.array([picture[rows, x - 2 : x + 3].mean(axis=(0, 1)) for x in centres])


def image_folder(folder: Path, num_frames: int = 12, size: tuple[int, int] = (96, 64)) -> list[Path]:
    """A folder of PNGs in name order; `size` is (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.png" for number in range(num_frames)]
    for number, path in enumerate(paths):
        Image.fromarray(draw(number, *size)).save(path)
    return paths
