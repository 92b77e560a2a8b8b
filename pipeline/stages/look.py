"""How a clip's frames look, measured on four of them, evenly spread: perceptual hashes, and shares of nothing to see.

    static.share    share of the picture whose brightness stays the same in all of the frames: 1 for a still picture,
                    near 1 for a small thing that moves before a camera that stands
    frozen.share    share of the frames that look just like the one before: stills, one after another, each held long
    black.share     share of the frames that are black all over
    bars.share      share of the picture that black bars at its borders take in all of the frames

Brightness is taken on small pictures, where coding and sensors leave little noise.
"""

from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAMES = 4

_SIDE = 128  # pixels, longer side of the pictures that are compared
_STEADY = 4  # grey levels of 255, as is the next: brightness that changes by no more stays the same
_BLACK = 25
_ALL_OVER = 0.98  # share of a frame's pixels that makes it black, or the same as the one before

Greys: TypeAlias = NDArray[np.uint8]  # [N, h, w]


def look_frames(num_frames: int) -> tuple[int, ...]:
    """Numbers of the frames to look at: the middles of four equal parts; a short clip repeats some."""
    return tuple((2 * part + 1) * num_frames // (2 * FRAMES) for part in range(FRAMES))


def fingerprint(frames: NDArray[np.uint8]) -> tuple[str, ...]:
    """The perceptual hash (pHash) of every frame of uint8 [N, H, W, 3] as 16 hex digits.

    Bit k: whether the k-th of the 8x8 lowest DCT coefficients of the 32x32 grey frame is above their median.
    """
    return tuple(_phash(frame) for frame in frames)


def _phash(frame: NDArray[np.uint8]) -> str:
    from scipy.fft import dctn  # loads for as long as half the pipeline, and most processes never ask for it

    grey = Image.fromarray(frame).convert("L").resize((32, 32), Image.Resampling.BOX)
    spectrum = dctn(np.asarray(grey, dtype=np.float64), norm="ortho")
    # Rounded, so that noise of the last digit, which differs between machines, sets no bit of a flat frame.
    low = np.rint(spectrum[:8, :8])
    return np.packbits(low > np.median(low)).tobytes().hex()


def measure_look(frames: NDArray[np.uint8]) -> dict[str, float]:
    """The scores above of frames that differ in number, uint8 [N, H, W, 3]; a single one stays the same."""
    greys = np.stack([_small(frame) for frame in frames])
    steady = greys.max(0) - greys.min(0) <= _STEADY
    repeats = [_is_same(before, after) for before, after in pairwise(greys)]
    dark: NDArray[np.bool_] = greys <= _BLACK
    return {
        "static.share": float(steady.mean()),
        "frozen.share": float(np.mean(repeats)) if repeats else 1.0,
        "black.share": float((dark.mean((1, 2)) >= _ALL_OVER).mean()),
        "bars.share": _bars(np.asarray(dark.all(0))),
    }


def _small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = min(1.0, _SIDE / max(frame.shape))
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return np.asarray(Image.fromarray(frame).convert("L").resize((width, height), Image.Resampling.BOX))


def _is_same(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    changed = np.abs(before.astype(np.int16) - after) > _STEADY
    return bool(changed.mean() <= 1 - _ALL_OVER)


def _bars(dark: NDArray[np.bool_]) -> float:
    """Share of a picture outside the rows and columns from the first to the last that is not all dark."""
    rows, columns = np.flatnonzero(~dark.all(1)), np.flatnonzero(~dark.all(0))
    if not len(rows):
        return 1.0
    inside = (rows[-1] + 1 - rows[0]) * (columns[-1] + 1 - columns[0])
    return float(1 - inside / dark.size)
