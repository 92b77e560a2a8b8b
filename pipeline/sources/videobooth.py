"""The VideoBooth dataset: WebVid clips of nine subjects with the subject's mask on the first frame.

    webvid_parsing_videobooth_subset/dog.csv               videoid, page_dir, name (the caption), and more
    webvid_parsing_videobooth_subset/dog/17412/mask.json   [{"value": 1, "label": "dog", ...}, ...]
    webvid_parsing_2M/17412/mask_1.png                     the mask of value 1: not 0 on the subject
    videos/001501_001550/17412.mp4, or videos/17412.mp4    downloaded by the user, as for WebVid

The folder given may also be the subset itself. Masks are looked for in the first folder whose name begins
with webvid_parsing_2M, else beside their mask.json.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.records import FirstMask, Video
from pipeline.sources.place import Place
from pipeline.sources.source import Entry, Source, SourceFault, as_nouns
from pipeline.sources.table import rows
from pipeline.sources.webvid import Downloads

SUBSET = "webvid_parsing_videobooth_subset"
MASKS = "webvid_parsing_2M"  # how the name of the masks' folder begins


class VideoBooth(Source):
    """One video for each mask of a row: a clip with two dogs comes twice. Nothing is downloaded."""

    name: ClassVar[str] = "videobooth"
    expects: ClassVar[str] = (
        f"{SUBSET}/*.csv, and the WebVid videos in `videos` beside it or in videobooth:DIR,root=DIR"
    )

    root: str | None = None  # path or URL of the folder of videos; None: `videos`
    masks: str | None = None  # path or URL of the folder of masks; None: see above

    def entries(self) -> Iterator[Entry]:
        place = Place.existing(self.place)
        subset = place.folder(SUBSET) if place.is_folder(SUBSET) else place
        videos = place.folder("videos") if self.root is None else Place.existing(self.root)
        parts = _Parts(subset=subset, masks=self._masks(place), downloads=Downloads(videos))
        for name in subset.files():
            if name.endswith(".csv"):
                for number, row in rows(subset, name, needed=("videoid", "page_dir", "name")):
                    yield from _entries(parts, PurePosixPath(name).stem, number, row)

    def _masks(self, place: Place) -> Place | None:
        if self.masks is not None:
            return Place.existing(self.masks)
        names = [name for name in place.folders() if name.startswith(MASKS)]
        return place.folder(names[0]) if names else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """Where the parts of the dataset lie, which are published as separate downloads."""

    subset: Place
    masks: Place | None  # None: each beside its mask.json
    downloads: Downloads


class _Label(BaseModel):
    """An entry of a mask.json; what else it holds is ignored."""

    value: int
    label: str


_LABELS = TypeAdapter(list[_Label])


def _entries(parts: _Parts, subject: str, number: int, row: dict[str, str]) -> Iterator[Entry]:
    """The videos of one row, one for each mask; else its one fault."""
    videoid = row["videoid"].strip()
    id = f"videobooth/{subject}/{videoid or f'row {number}'}"  # noqa: A001  the record's own name
    uri = parts.downloads.find(row["page_dir"].strip(), videoid) if videoid else None
    folder = f"{subject}/{videoid}"
    if not videoid:
        yield SourceFault(id=id, why="row without a videoid", value=row["name"])
    elif uri is None:
        yield SourceFault(id=id, why="video not downloaded", value=row.get("contentUrl"))
    elif not parts.subset.exists(f"{folder}/mask.json"):
        yield SourceFault(id=id, why="mask.json is missing", value=parts.subset.uri(f"{folder}/mask.json"))
    else:
        caption = " ".join(row["name"].split()) or None
        place = parts.subset.folder(folder) if parts.masks is None else parts.masks.folder(videoid)
        labels = _labels(parts.subset.read(f"{folder}/mask.json"))
        for label in labels or ():
            yield _masked(id, uri, caption, place, label)
        if not labels:
            yield SourceFault(id=id, why="mask.json names no subject", value=f"{folder}/mask.json")


def _labels(data: bytes) -> list[_Label]:
    """The subjects of a mask.json, [] where it is broken; value 0 is the background."""
    try:
        return [label for label in _LABELS.validate_json(data) if label.value != 0 and as_nouns([label.label])]
    except ValidationError:
        return []


def _masked(id: str, uri: str, caption: str | None, place: Place, label: _Label) -> Entry:  # noqa: A002
    name = f"mask_{label.value}.png"
    if not place.exists(name):
        return SourceFault(id=f"{id}/{label.value}", why="mask is missing", value=place.uri(name))
    nouns = as_nouns([label.label])
    annotation = FirstMask(path=place.uri(name), noun=nouns[0])
    return Video(id=f"{id}/{label.value}", uri=uri, caption=caption, nouns=nouns, annotation=annotation)
