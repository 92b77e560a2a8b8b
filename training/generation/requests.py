"""What is to be generated: one clip from the command line, or many from a file."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.recipe import Recipe
from pipeline.stage import Settings
from shards.rle import Size
from training.generation.boxes import Boxes, boxes_of, read_boxes_file, read_text
from training.generation.pictures import check_ending
from training.generation.reference import boxes_of_video
from training.generation.subject import find, framed, mask_of, read_image, read_mask


class Request(Settings):
    """One clip. Paths are as from the folder that the command runs in."""

    prompt: str
    subject: str  # image
    boxes: str | dict[str, Any]  # a file of boxes, or what would stand in it
    out: str  # .mp4 or .gif
    mask: str | None = None  # image of the subject's mask
    noun: str | None = None  # what to cut out, where there is neither a mask nor a transparent background
    seed: int = 0


class Prepared(NamedTuple):
    """A request as the pipeline takes it."""

    request: Request
    subject: NDArray[np.uint8]  # [H, W, 3], on a blank background
    boxes: Boxes  # [F, 4] pixels


def requests_in(path: str | Path) -> list[Request]:
    """A JSON object a line. Raises `ValueError` that names the line."""
    asked = [
        _request(line, f"{path}, line {number}")
        for number, line in enumerate(read_text(path, "a file of requests").splitlines(), start=1)
        if line.strip()
    ]
    if not asked:
        raise ValueError(f"{path}: no request in it; write one JSON object a line")
    outs = [request.out for request in asked]
    twice = next((out for out in outs if outs.count(out) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: two requests would write {twice}; give each an out of its own")
    return asked


def _request(line: str, where: str) -> Request:
    try:
        return Request.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: no JSON ({error}); write one object a line") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"{where}: {name}: {first['msg']}; see `dreamreel generate --help`") from None


def prepared(request: Request, size: Size, num_frames: int, fps: float, recipe: Recipe) -> Prepared:
    """Raises `ValueError` in one line that says what of the request cannot be, and the mend."""
    check_ending(Path(request.out))
    picture, mask = read_image(request.subject)
    if request.mask is not None:
        mask = read_mask(request.mask, (picture.shape[0], picture.shape[1]))
    elif mask is None and request.noun is not None:
        mask = mask_of(find(picture, request.noun, recipe, request.subject), (picture.shape[0], picture.shape[1]))
    if mask is None:
        raise ValueError(
            f"{request.subject}: says not which part is the subject; give a mask, a noun, or a transparent background"
        )
    said = request.boxes if isinstance(request.boxes, dict) else read_boxes_file(request.boxes)
    where = "boxes" if isinstance(request.boxes, dict) else request.boxes
    if "video" in said:
        noun = said.get("noun") or request.noun
        if noun is None:
            raise ValueError(f"{where}: says not what to follow in {said['video']}; add a noun")
        boxes = boxes_of_video(said["video"], noun, size, num_frames, fps, recipe)
    else:
        boxes = boxes_of(said, num_frames, where)
    pixels = boxes * np.array([size[1], size[0], size[1], size[0]])
    return Prepared(request, framed(picture, mask, size, request.subject), pixels)
