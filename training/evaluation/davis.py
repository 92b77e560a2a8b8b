"""Box sequences of DAVIS, 2016 or 2017: each sequence's largest object in its first frame, in shares of the frame."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAME_RATE = 24.0  # as the sequences are published
FPS = 8.0  # the paper's clips
VOID = 255


def davis_boxes(folder: Path, num_frames: int) -> list[list[list[float] | None]]:
    """One list for each sequence that has `num_frames` frames at 8 a second, or as near to it as its length allows.

    Raises `ValueError` where there are no annotations.
    """
    annotations = folder / "Annotations"
    places = sorted(path for path in annotations.iterdir() if path.is_dir()) if annotations.is_dir() else []
    if not places:
        raise ValueError(f"{folder}: no Annotations/RESOLUTION/SEQUENCE/*.png here; name DAVIS's own folder")
    place = next((path for path in places if path.name == "480p"), places[0])
    sequences = [sorted(path.glob("*.png")) for path in sorted(place.iterdir()) if path.is_dir()]
    return [boxes for masks in sequences if (boxes := _boxes(masks, num_frames)) is not None]


def _boxes(masks: list[Path], num_frames: int) -> list[list[float] | None] | None:
    """None of a sequence that is too short, or whose first frame shows no object."""
    if len(masks) < num_frames:
        return None
    stride = max(1, min(round(FRAME_RATE / FPS), (len(masks) - 1) // max(1, num_frames - 1)))
    labels = [_labels(masks[number * stride]) for number in range(num_frames)]
    counts = np.bincount(labels[0].ravel(), minlength=VOID + 1)[1:VOID]
    if labels[0].max() == VOID and not counts.any():  # 2016: the object is 255
        return [_box(frame == VOID) for frame in labels]
    if not counts.any():
        return None
    subject = int(counts.argmax()) + 1
    return [_box(frame == subject) for frame in labels]


def _labels(path: Path) -> NDArray[np.uint8]:
    """[H, W], numbers of objects: a palette's indices, or grey values."""
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "P" else image.convert("L"), np.uint8)


def _box(mask: NDArray[np.bool_]) -> list[float] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    height, width = mask.shape
    edges = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    return [round(float(edge), 5) for edge in edges]
