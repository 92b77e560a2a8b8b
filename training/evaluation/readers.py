"""Target boxes as generation takes them, and as other systems write them down.

    OBJECT or .json     this project's forms: see `dreamreel generate --help`
    .json with "bbox"   MotionBooth: key boxes of its objects, [[[x0, y0, x1, y1]], ...]; the first object's
    .npy                Direct-a-Video: [F, 4], x0, y0, x1, y1
    .txt, five a line   FreeTraj: frame, y0, y1, x0, x1 of key frames
    .txt, two a line    MotionCtrl: a way of points x, y on 256x256 pixels; {"file": FILE, "box": [width, height]} makes
                        boxes of it
    {"freetraj": NAME}  one of FreeTraj's eight canonical trajectories

All but the first in shares of the frame. Peekaboo's boxes stand in its manifest.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.embedded.motion import trajectory_boxes
from training.generation.boxes import Boxes, along, boxes_of, checked

CANVAS = 256
"""Pixels of a side of MotionCtrl's canvas."""


def target_boxes(said: str | dict[str, Any], folder: Path, num_frames: int) -> Boxes:
    """Boxes of `num_frames` frames in shares of the frame. Raises `ValueError` in one line.

    A list that says a box for each frame must be as long as the video; key frames and ways are spread over it.
    """
    if isinstance(said, str):
        return _of_file(folder / said, said, None, num_frames)
    if "file" in said:
        return _of_file(folder / str(said["file"]), str(said["file"]), said.get("box"), num_frames)
    return _of_object(said, num_frames, "boxes")


def _of_object(said: dict[str, Any], num_frames: int, where: str) -> Boxes:
    if "freetraj" in said:
        return trajectory_boxes(str(said["freetraj"]), num_frames)
    if "bbox" in said:
        return _motionbooth(said, num_frames, where)
    if isinstance(said.get("boxes"), list):
        _check_length(len(said["boxes"]), num_frames, where)
    return boxes_of(said, num_frames, where)


def _of_file(path: Path, where: str, box: Any, num_frames: int) -> Boxes:
    try:
        if path.suffix == ".npy":
            return _direct_a_video(np.load(path), num_frames, where)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{where}: there is no such file of boxes; it is looked for beside the manifest") from None
    except (OSError, ValueError) as error:
        if path.suffix == ".npy" or isinstance(error, UnicodeDecodeError):
            raise ValueError(f"{where}: no file of boxes ({str(error).splitlines()[0]})") from None
        raise
    if path.suffix == ".txt":
        return _of_text(text, box, num_frames, where)
    try:
        said = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: no JSON ({error})") from None
    if not isinstance(said, dict):
        raise ValueError(f"{where}: no object; see `dreamreel generate --help` for what it may say")
    return _of_object(said, num_frames, where)


def _of_text(text: str, box: Any, num_frames: int, where: str) -> Boxes:
    """FreeTraj's key frames, or MotionCtrl's points."""
    try:
        rows = np.array(
            [[float(part) for part in line.replace(",", " ").split()] for line in text.splitlines() if line]
        )
    except ValueError:
        rows = np.empty((0, 0))
    if rows.ndim == 2 and rows.shape[1] == 5 and (np.diff(rows[:, 0]) > 0).all():
        return checked(_key_frames(rows[:, 0], rows[:, [3, 1, 4, 2]], num_frames), where)
    if rows.ndim == 2 and rows.shape[1] == 2:
        return _motionctrl(rows, box, num_frames, where)
    raise ValueError(f"{where}: neither FreeTraj's lines of frame, y0, y1, x0, x1 nor MotionCtrl's of x, y")


def _key_frames(at: NDArray[np.float64], boxes: Boxes, num_frames: int) -> Boxes:
    """Every edge moves evenly between key frames; the last of them is the video's last frame."""
    wanted = at[0] + np.linspace(0, 1, num_frames) * (at[-1] - at[0])
    return np.stack([np.interp(wanted, at, boxes[:, edge]) for edge in range(4)], 1)


def _motionctrl(points: NDArray[np.float64], box: Any, num_frames: int, where: str) -> Boxes:
    if not isinstance(box, list) or len(box) != 2:
        raise ValueError(f'{where}: a way has no boxes; write {{"file": FILE, "box": [width, height]}} in shares')
    half = np.array(box, float) / 2
    centre = points[0] / CANVAS
    return checked(along(np.concatenate([centre - half, centre + half]), points / CANVAS, num_frames), where)


def _motionbooth(said: dict[str, Any], num_frames: int, where: str) -> Boxes:
    """Parts of the video as `bbox_proportions` say, each from a key box towards the next, which it does not reach."""
    try:
        keys = np.array([objects[0] for objects in said["bbox"]], float).reshape(-1, 4)
        shares = np.array(said.get("bbox_proportions", [1] * (len(keys) - 1)), float)
        lengths = np.around(shares / shares.sum() * num_frames).astype(int)
        parts = [
            keys[n] + (np.arange(length) / length)[:, None] * (keys[n + 1] - keys[n])
            for n, length in enumerate(lengths.tolist())
        ]
    except (TypeError, ValueError, IndexError):
        raise ValueError(f"{where}: bbox is none of MotionBooth's: [[[x0, y0, x1, y1]], ...], two or more") from None
    boxes = np.concatenate(parts)
    return checked(np.concatenate([boxes, np.repeat(boxes[-1:], num_frames, 0)])[:num_frames], where)


def _direct_a_video(boxes: NDArray[np.float64], num_frames: int, where: str) -> Boxes:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.issubdtype(boxes.dtype, np.number):
        raise ValueError(f"{where}: an array of {boxes.shape}; Direct-a-Video's are [frames, 4]")
    _check_length(len(boxes), num_frames, where)
    return checked(boxes.astype(np.float64), where)


def _check_length(count: int, num_frames: int, where: str) -> None:
    if count != num_frames:
        raise ValueError(f"{where}: {count} boxes for a video of {num_frames} frames; give one for each frame")
