"""A folder of videos, whatever lies below it, with sidecar captions, nouns and tracks.

kitchen/pour.mp4    the video (or mkv, webm, mov, avi, gif, m4v)
kitchen/pour.txt    its caption; wins over the JSON's
kitchen/pour.json   {"caption": "...", "nouns": ["mug"], "tracks": "pour.tracks.json"}, each optional
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.records import TrackFile, Video
from pipeline.sources.place import Place, is_video, join
from pipeline.sources.source import Entry, Source, SourceFault, as_nouns, first_error


class Folder(Source):
    """Videos of a folder and its subfolders.

    Other files are ignored; only a sidecar that lies beside videos and belongs to none of them is a fault.
    """

    name: ClassVar[str] = "folder"
    expects: ClassVar[str] = "a folder with mp4, mkv, webm, mov, avi, gif or m4v files at any depth"

    def entries(self) -> Iterator[Entry]:
        place = Place.existing(self.place)
        used: set[str] = set()  # track files that a sidecar names are no sidecars themselves
        for folder, names in place.walk():
            videos = [name for name in names if is_video(name)]
            for name in videos:
                entry = _entry(place, folder, name, frozenset(names))
                if isinstance(entry, Video) and isinstance(entry.annotation, TrackFile):
                    used.add(entry.annotation.path)
                yield entry
            stems = {_stem(name) for name in videos}
            for name in names if videos else []:
                path = join(folder, name)
                if name.endswith((".txt", ".json")) and _stem(name) not in stems and place.uri(path) not in used:
                    yield SourceFault(id=f"folder/{path}", why="sidecar without its video", value=name)


class _Sidecar(BaseModel):
    """What a NAME.json may say; other keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    caption: str | None = None
    nouns: tuple[str, ...] = ()
    tracks: str | None = None


def _entry(place: Place, folder: str, name: str, names: frozenset[str]) -> Entry:
    path, stem = join(folder, name), _stem(name)
    id = f"folder/{path}"  # noqa: A001  the record's own name
    try:
        text = place.read(join(folder, f"{stem}.txt")).decode("utf-8-sig") if f"{stem}.txt" in names else ""
        data = place.read(join(folder, f"{stem}.json")) if f"{stem}.json" in names else b"{}"
        said = _Sidecar.model_validate_json(data)
    except UnicodeDecodeError as error:
        return SourceFault(id=id, why="caption is not UTF-8", value=f"{stem}.txt: {error.reason}")
    except ValidationError as error:
        return SourceFault(id=id, why="sidecar is broken", value=f"{stem}.json: {first_error(error)}")
    if said.tracks is not None and not place.exists(join(folder, said.tracks)):
        return SourceFault(id=id, why="track file is missing", value=said.tracks)
    return Video(
        id=id,
        uri=place.uri(path),
        caption=" ".join((text.strip() or said.caption or "").split()) or None,
        nouns=as_nouns(said.nouns),
        annotation=None if said.tracks is None else TrackFile(path=place.uri(join(folder, said.tracks))),
    )


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
