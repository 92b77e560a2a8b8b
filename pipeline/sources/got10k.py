"""GOT-10k: folders of frames at 10 a second, with one object's box in every frame.

train/GOT-10k_Train_000001/00000001.jpg
                           groundtruth.txt   x,y,width,height of each frame
                           absence.label     1 where the object is not in the frame
                           cover.label       how much of it is to be seen, in eighths
                           meta_info.ini     object_class: the noun
"""

import configparser
import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import Field

from pipeline.records import FrameBoxes, Video
from pipeline.sources.place import Place, is_image
from pipeline.sources.source import Entry, Source, SourceFault, as_nouns
from shards.rle import Box


class Got10k(Source):
    """Sequences of GOT-10k, at any depth. Those of `test` are faults: they come with one box each."""

    name: ClassVar[str] = "got10k"
    expects: ClassVar[str] = "folders with *.jpg, groundtruth.txt and meta_info.ini, at any depth"

    frame_rate: float = Field(10.0, gt=0)  # frames a second, as the sequences are published

    def entries(self) -> Iterator[Entry]:
        for folder, names in (place := Place.existing(self.place)).walk():
            num_frames = sum(map(is_image, names))
            if num_frames or "groundtruth.txt" in names:
                yield self._entry(place.folder(folder), names, num_frames)

    def _entry(self, place: Place, names: list[str], num_frames: int) -> Entry:
        id = f"got10k/{PurePosixPath(place.uri('')).name}"  # noqa: A001  the record's own name
        missing = [name for name in ("groundtruth.txt", "meta_info.ini") if name not in names]
        if missing:
            return SourceFault(id=id, why="annotation is missing", value=missing[0])
        try:
            boxes = _boxes(place, "absence.label" in names)
            cover = tuple(map(int, _numbers(place, "cover.label"))) if "cover.label" in names else None
            noun = _object_class(place)
        except (ValueError, configparser.Error) as error:
            return SourceFault(id=id, why="annotation is broken", value=" ".join(str(error).split()))
        if {num_frames, len(boxes), len(cover or boxes)} != {num_frames}:
            counts = f"{num_frames} frames, {len(boxes)} boxes, {len(cover or boxes)} cover labels"
            return SourceFault(id=id, why="not one box a frame", value=counts)
        annotation = FrameBoxes(noun=noun, boxes=boxes, cover=cover)
        return Video(id=id, uri=place.uri(""), frame_rate=self.frame_rate, nouns=(noun,), annotation=annotation)


def _boxes(place: Place, has_absence: bool) -> tuple[Box | None, ...]:
    lines = place.read("groundtruth.txt").decode().split("\n")
    boxes = [_row_box(line) for line in lines if line.strip()]
    if not has_absence:
        return tuple(boxes)
    absent = _numbers(place, "absence.label")
    if len(absent) != len(boxes):
        raise ValueError(f"groundtruth.txt has {len(boxes)} boxes and absence.label {len(absent)} labels")
    return tuple(None if gone else box for gone, box in zip(absent, boxes, strict=True))


def _row_box(line: str) -> Box | None:
    x, y, width, height = map(float, line.replace(",", " ").split())
    return to_box(x, y, width, height)


def to_box(x: float, y: float, width: float, height: float) -> Box | None:
    """The nearest pixel edges, at least one pixel apart; `None` for a box without area."""
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        return None
    x0, y0 = math.floor(x + 0.5), math.floor(y + 0.5)
    return x0, y0, max(x0 + 1, math.floor(x + width + 0.5)), max(y0 + 1, math.floor(y + height + 0.5))


def _numbers(place: Place, name: str) -> list[float]:
    return [float(word) for word in place.read(name).decode().split()]


def _object_class(place: Place) -> str:
    parser = configparser.ConfigParser(interpolation=None)  # a URL may hold a "%"
    parser.read_string(place.read("meta_info.ini").decode("utf-8-sig"))
    nouns = as_nouns(parser.get(section, "object_class", fallback="") for section in parser.sections())
    if not nouns:
        raise ValueError("meta_info.ini has no object_class")
    return nouns[0]
