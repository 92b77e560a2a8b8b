"""How a clip is drawn for people: frames with tinted masks, outlines, boxes and labels, laid on a sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shards.rle import Box

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (72, 164, 255),  # blue
    (255, 159, 28),  # orange
    (46, 204, 133),  # green
    (236, 112, 190),  # pink
    (240, 228, 66),  # yellow
    (150, 130, 255),  # violet
)  # apart from each other also for colour-blind eyes, by lightness as well as by hue
GROUND: Colour = (22, 24, 29)
TEXT: Colour = (236, 238, 242)
FAINT: Colour = (160, 166, 178)
TINT = 0.25  # share of the colour in a tinted pixel
GAP = 10  # pixels between the things on a sheet


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One track in one frame."""

    colour: Colour
    label: str
    mask: NDArray[np.bool_]  # [H, W]
    box: Box  # pixels of the mask's frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One drawn frame and the line below it."""

    image: Image.Image
    below: str


def draw_frame(frame: NDArray[np.uint8], marks: Sequence[Mark], size: tuple[int, int]) -> Image.Image:
    """`frame`, uint8 [H, W, 3], drawn at `size` (width, height) with each mark's mask, box and label; first on top."""
    height, width = frame.shape[:2]
    pixels = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)).astype(np.float32)
    upwards = list(reversed(marks))
    for mark in upwards:
        _tint(pixels, _scaled(mark.mask, size), mark.colour)
    image = Image.fromarray(pixels.round().astype(np.uint8))
    draw = ImageDraw.Draw(image)
    scale = (size[0] / width, size[1] / height)
    corners = [_draw_box(draw, mark, scale) for mark in upwards]
    for mark, corner in zip(upwards, corners, strict=True):
        _draw_label(draw, mark, corner, size)
    return image


def _scaled(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _tint(pixels: NDArray[np.float32], mask: NDArray[np.bool_], colour: Colour) -> None:
    """Mix `colour` into `pixels` [H, W, 3] under `mask`, and draw its edge: a pixel inside, darkened outside."""
    shade = np.asarray(colour, np.float32)
    pixels[mask] += TINT * (shade - pixels[mask])
    pixels[mask & ~_inner(mask)] = shade
    pixels[~_inner(~mask, outside=True) & ~mask] *= 0.45


def _inner(mask: NDArray[np.bool_], outside: bool = False) -> NDArray[np.bool_]:
    """Pixels of `mask` whose four neighbours are in it too; `outside` is what lies beyond the frame."""
    padded = np.pad(mask, 1, constant_values=outside)
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _draw_box(draw: ImageDraw.ImageDraw, mark: Mark, scale: tuple[float, float]) -> tuple[int, int]:
    """Draw the box one pixel wide; its left and top."""
    x0, y0, x1, y1 = mark.box
    left, top = round(x0 * scale[0]), round(y0 * scale[1])
    right, bottom = round(x1 * scale[0]) - 1, round(y1 * scale[1]) - 1
    draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=mark.colour)
    return left, top


def _draw_label(draw: ImageDraw.ImageDraw, mark: Mark, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """A chip above the box, or right below its top edge where there is no room."""
    wide, high = round(font(12).getlength(mark.label)) + 6, 15
    x = max(0, min(corner[0], size[0] - wide))
    y = corner[1] - high if corner[1] >= high else corner[1] + 1
    draw.rectangle((x, y, x + wide, y + high - 1), fill=mark.colour)
    draw.text((x + 3, y + high // 2), mark.label, fill=GROUND, font=font(12), anchor="lm")


def tile_size(width: int, height: int, within: tuple[int, int]) -> tuple[int, int]:
    """The largest even (width, height) of the same shape that fits `within`, at least 2 by 2."""
    scale = min(within[0] / width, within[1] / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def draw_sheet(
    title: str, title_colour: Colour, text: str, facts: str, tiles: Sequence[Tile], columns: int
) -> Image.Image:
    """Tiles in rows of `columns` under a header: a title chip, a faint line of facts, the text wrapped."""
    wide, high = tiles[0].image.size
    width = max(columns * (wide + GAP) + GAP, 480)
    lines = wrapped(text, font(16), width - 2 * GAP)
    top = GAP + 26 + 22 * len(lines) + 6
    rows = -(-len(tiles) // columns)
    image = Image.new("RGB", (width, top + rows * (high + 20 + GAP)), GROUND)
    draw = ImageDraw.Draw(image)
    _draw_header(draw, width, title, title_colour, lines, facts)
    for number, tile in enumerate(tiles):
        x = GAP + number % columns * (wide + GAP)
        y = top + number // columns * (high + 20 + GAP)
        image.paste(tile.image, (x, y))
        draw.text((x, y + high + 4), tile.below, fill=FAINT, font=font(12))
    return image


def _draw_header(
    draw: ImageDraw.ImageDraw, width: int, title: str, colour: Colour, lines: Sequence[str], facts: str
) -> None:
    chip = round(font(15, bold=True).getlength(title)) + 12
    draw.rectangle((GAP, GAP, GAP + chip, GAP + 21), fill=colour)
    draw.text((GAP + 6, GAP + 11), title, fill=GROUND, font=font(15, bold=True), anchor="lm")
    room = width - chip - 3 * GAP - 6
    short = shortened(facts, font(12), room)
    draw.text((GAP + chip + 10, GAP + 11), short, fill=FAINT, font=font(12), anchor="lm")
    for number, line in enumerate(lines):
        draw.text((GAP, GAP + 28 + 22 * number), line, fill=TEXT, font=font(16))


def stacked(images: Sequence[Image.Image]) -> Image.Image:
    """Images below each other on one ground, a thin line between them."""
    width = max(image.width for image in images)
    whole = Image.new("RGB", (width, sum(image.height + 1 for image in images)), GROUND)
    draw = ImageDraw.Draw(whole)
    y = 0
    for image in images:
        whole.paste(image, (0, y))
        y += image.height
        draw.line((0, y, width, y), fill=(52, 56, 66))
        y += 1
    return whole


def wrapped(text: str, type_: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels; a word that is wider is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if type_.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, type_, width))
    return [line for line in lines if line]


def shortened(text: str, type_: ImageFont.FreeTypeFont, width: int) -> str:
    """`text` cut to `width` pixels, with an ellipsis where something is missing."""
    if type_.getlength(text) <= width:
        return text
    while text and type_.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib, so that a picture looks the same everywhere."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("matplotlib brings the font of the pictures and is not installed")
    folder = Path(spec.origin).parent / "mpl-data/fonts/ttf"
    return ImageFont.truetype(folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size)
