"""A folder of WebDataset tars that others wrote, found by their headers, shown and not judged."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from curation_ui.members import LARGEST_TEXT, Place, object_in, text_at
from shards import Storage, tar

_VIDEOS = ("mp4", "webm", "mkv", "mov", "avi", "ts", "m4v")
_WORDS = ("txt", "caption", "cls", "json")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One sample of a foreign tar."""

    key: str
    name: str  # as the tar has it
    path: str  # of the tar
    members: dict[str, tar.Member] = field(default_factory=dict)  # by extension, lower case


class ForeignTars:
    """A folder of WebDataset tars that others wrote: shown, not judged, for nothing names their content."""

    why_not: str | None = (
        "these tars have no sidecars, so a verdict could not be bound to what was seen; build or repack them first"
    )
    recipe: Mapping[str, Any] = {}
    content: Mapping[str, str] = {}

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.title = storage.url.rpartition("/")[2]
        self._entries = [entry for path in _tars(storage) for entry in _entries(storage, path)]
        if not self._entries:
            raise ValueError(f"{storage.url} is no dataset and holds no tar with videos; check the path")
        self._rows = {entry.key: row for row, entry in enumerate(self._entries)}

    @cached_property
    def table(self) -> pa.Table:
        words = [self._caption(entry) for entry in self._entries]
        return pa.table(
            {
                "key": [entry.key for entry in self._entries],
                "shard": [entry.path.rpartition("/")[2].removesuffix(".tar") for entry in self._entries],
                "video": [entry.name for entry in self._entries],
                "caption": pa.array(words, pa.string()),
                "subject": pa.array([""] * len(words), pa.string()),
                "mp4_size": [_video_of(entry).size for entry in self._entries],
            }
        )

    def __len__(self) -> int:
        return len(self._entries)

    def row_of(self, key: str) -> int:
        return self._rows[key]

    def texts(self) -> Iterator[tuple[str, ...]]:
        yield from zip(self.table["caption"].to_pylist(), self.table["video"].to_pylist(), strict=True)

    def video(self, row: int) -> Place:
        entry = self._entries[row]
        return self._place(entry, _video_of(entry))

    def strip(self, row: int) -> Place | None:
        """Only a picture that is made for it; a still of another shape would be taken for eight frames."""
        entry = self._entries[row]
        return self._place(entry, entry.members["strip.jpg"]) if "strip.jpg" in entry.members else None

    def masks(self, row: int) -> None:  # noqa: ARG002  foreign tars have none that are understood
        return None

    def description(self, row: int) -> dict[str, Any]:
        entry = self._entries[row]
        said = object_in(text_at(self._place(entry, entry.members["json"]))) if "json" in entry.members else {}
        return {"caption": self._caption(entry), "provenance": {"tar": entry.path, "name": entry.name, **said}}

    def _caption(self, entry: _Entry) -> str:
        for extension in _WORDS:
            member = entry.members.get(extension)
            if member is None or member.size > LARGEST_TEXT:
                continue
            text = self._place(entry, member).read().decode("utf-8", "replace").strip()
            found = _caption_in(text) if extension == "json" else text
            if found:
                return found
        return ""

    def _place(self, entry: _Entry, member: tar.Member) -> Place:
        version = f"{self.storage.url}/{entry.path}\0{member.name}\0{member.offset}\0{member.size}"
        tag = hashlib.sha256(version.encode("utf-8", "surrogateescape")).hexdigest()
        return Place(storage=self.storage, path=entry.path, offset=member.offset, size=member.size, tag=tag)


def _tars(storage: Storage) -> list[str]:
    return [path for folder in ("", "shards") for path in storage.list(folder, ".tar")]


def _entries(storage: Storage, path: str) -> Iterator[_Entry]:
    """The samples of one tar that have a video: adjacent members with the same name up to the first dot."""
    entry: _Entry | None = None
    for member in tar.scan(f"{storage.url}/{path}"):
        folder, slash, base = member.name.rpartition("/")
        stem, _, extension = base.partition(".")
        name = f"{folder}{slash}{stem}"
        name = name.encode("utf-8", "replace").decode()
        if entry is None or entry.name != name:
            if entry is not None and _has_video(entry):
                yield entry
            key = hashlib.sha256(f"{path}\0{name}".encode()).hexdigest()[:20]
            entry = _Entry(key=key, name=name, path=path)
        entry.members[extension.lower()] = member
    if entry is not None and _has_video(entry):
        yield entry


def _has_video(entry: _Entry) -> bool:
    return any(extension in entry.members for extension in _VIDEOS)


def _video_of(entry: _Entry) -> tar.Member:
    return next(entry.members[extension] for extension in _VIDEOS if extension in entry.members)


def _caption_in(text: str) -> str:
    said = object_in(text.encode())
    found = next((said[name] for name in ("caption", "text", "prompt") if isinstance(said.get(name), str)), "")
    return str(found).strip()
