"""DAVIS: folders of frames with a mask image a frame, in the layouts of 2016 and 2017.

JPEGImages/480p/dog/00000.jpg     or Full-Resolution, or 1080p
Annotations/480p/dog/00000.png    2016: 0 and 255; 2017: a palette image, k for object k, 255 void
ImageSets/2017/val.txt            optional lists of sequences
subjects.json                     optional, each object's noun: {"dog": {"1": "dog"}}; DAVIS names none
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import Field, RootModel, ValidationError

from pipeline.records import IndexedMasks, Video
from pipeline.sources.place import Place, is_image
from pipeline.sources.source import Entry, Source, SourceFault, as_nouns, first_error


class Davis(Source):
    """Sequences of DAVIS with their masks. Only objects that subjects.json names have a noun.

    A sequence without a folder of masks comes without an annotation; one without frames is a fault.
    """

    name: ClassVar[str] = "davis"
    expects: ClassVar[str] = "JPEGImages/RESOLUTION/SEQUENCE/*.jpg beside Annotations/RESOLUTION/SEQUENCE/*.png"

    split: str | None = None  # a list below ImageSets, "2017/val"; None: every sequence
    resolution: str | None = None  # folder name; None: 480p, or the one that is there
    annotations: str = "Annotations"  # folder of the masks; DAVIS 2017 Unsupervised: Annotations_unsupervised
    frame_rate: float = Field(24.0, gt=0)  # frames a second, as the sequences are published

    def entries(self) -> Iterator[Entry]:
        place = Place.existing(self.place)
        subjects = _subjects(place)
        frames = f"JPEGImages/{self._resolution(place)}"
        masks = f"{self.annotations}/{self._resolution(place)}"
        filmed, masked = set(place.folders(frames)), set(place.folders(masks))
        for name in sorted(filmed | masked | set(subjects)) if self.split is None else _listed(place, self.split):
            if name not in filmed or not any(map(is_image, place.files(f"{frames}/{name}"))):
                yield SourceFault(id=f"davis/{name}", why="frames are missing", value=f"{frames}/{name}")
                continue
            nouns = subjects.get(name, {})
            yield Video(
                id=f"davis/{name}",
                uri=place.uri(f"{frames}/{name}"),
                frame_rate=self.frame_rate,
                nouns=as_nouns(nouns[k] for k in sorted(nouns)),
                annotation=IndexedMasks(folder=place.uri(f"{masks}/{name}"), nouns=nouns) if name in masked else None,
            )

    def _resolution(self, place: Place) -> str:
        there = place.folders("JPEGImages")
        wanted = self.resolution or ("480p" if "480p" in there or len(there) != 1 else there[0])
        if wanted not in there:
            has = ", ".join(there) or "nothing"
            raise ValueError(
                f"{place.uri('JPEGImages')}: there is no folder {wanted} (it has {has}); give resolution=NAME"
            )
        return wanted


class _Subjects(RootModel[dict[str, dict[int, str]]]):
    pass


def _subjects(place: Place) -> dict[str, dict[int, str]]:
    """Noun of each object of each sequence; {} where nobody wrote them down."""
    if not place.exists("subjects.json"):
        return {}
    try:
        said = _Subjects.model_validate_json(place.read("subjects.json")).root
    except ValidationError as error:
        raise ValueError(
            f'{place.uri("subjects.json")}: {first_error(error)}; it must be {{"sequence": {{"1": "noun"}}}}'
        ) from None
    named = {name: {k: as_nouns([noun]) for k, noun in nouns.items()} for name, nouns in said.items()}
    return {name: {k: noun[0] for k, noun in nouns.items() if noun} for name, nouns in named.items()}


def _listed(place: Place, split: str) -> list[str]:
    """Sequences of a list: one name a line, or as in 2016 one pair of image and mask paths a line."""
    path = f"ImageSets/{split}.txt"
    if not place.exists(path):
        raise ValueError(f"{place.uri(path)}: there is no such list; give split=NAME of one below ImageSets")
    first_words = [line.split()[0] for line in place.read(path).decode().splitlines() if line.strip()]
    return list(dict.fromkeys(PurePosixPath(word).parent.name if "/" in word else word for word in first_words))
