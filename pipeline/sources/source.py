"""What a source is: frozen settings that give videos, and a fault for each entry that is none."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar, TypeAlias

from pydantic import ValidationError

from pipeline.records import Video
from pipeline.stage import Settings


@dataclass(frozen=True, kw_only=True)
class SourceFault:
    """An entry of a source that gives no video: a caption without its video, a row whose video is missing."""

    id: str  # what the video's id would have been
    why: str  # a short sentence without numbers or names that change from entry to entry
    value: str | None  # what was found, or what was looked for


Entry: TypeAlias = Video | SourceFault


class Source(Settings):
    """A collection of videos in one layout. What is not known of a video is `None`, never guessed."""

    name: ClassVar[str]  # what stands before the colon on the command line and before the first "/" of an id
    expects: ClassVar[str]  # the layout in one sentence

    place: str  # path or fsspec URL of the folder or file

    def videos(self) -> Iterator[Entry]:
        """Every entry, lazily, in an order that depends on names only; no id comes twice.

        Raises ValueError at once where the place or a part of it is missing, or where no entry is a video.
        """
        entries = once_each(self.entries())
        faults: list[SourceFault] = []
        for entry in entries:
            if isinstance(entry, Video):
                return chain[Entry](faults, [entry], entries)
            faults.append(entry)
        found = f"; {len(faults)} without one, the first: {faults[0].why} ({faults[0].id})" if faults else ""
        raise ValueError(f"{self.place}: there is no video{found}; {self.name} expects {self.expects}")

    def entries(self) -> Iterator[Entry]:
        raise NotImplementedError


def once_each(entries: Iterable[Entry]) -> Iterator[Entry]:
    """`entries`, each under an id of its own: one whose id came before becomes the fault "id#2".

    Else two clips would share their keys.
    """
    times: dict[str, int] = {}
    for entry in entries:
        if not _is_text(entry.id):
            readable = entry.id.encode(errors="backslashreplace").decode()
            yield SourceFault(id=readable, why="name is not UTF-8", value=None)
            continue
        times[entry.id] = time = times.get(entry.id, 0) + 1
        if time == 1:
            yield entry
        elif isinstance(entry, Video):
            yield SourceFault(id=f"{entry.id}#{time}", why="id came before", value=entry.uri)
        else:
            yield replace(entry, id=f"{entry.id}#{time}")


def _is_text(name: str) -> bool:
    """Whether it can be written as UTF-8; a file's name on a disk can be any bytes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: where, what."""
    wrong = error.errors(include_url=False)[0]
    where = ".".join(map(str, wrong["loc"]))
    return f"{where}: {wrong['msg']}" if where else wrong["msg"]


def as_nouns(words: Iterable[str]) -> tuple[str, ...]:
    """Subject words in their one written form: lower case, single spaces, each once, none empty."""
    nouns = (" ".join(word.lower().split()) for word in words)
    return tuple(dict.fromkeys(noun for noun in nouns if noun))
