"""Where videos come from: `parse_source` reads the command line's SOURCE."""

import re
from difflib import get_close_matches

from pydantic import ValidationError

from pipeline.sources.davis import Davis
from pipeline.sources.folder import Folder
from pipeline.sources.got10k import Got10k
from pipeline.sources.parquet import Parquet
from pipeline.sources.place import Place
from pipeline.sources.source import Entry, Source, SourceFault, first_error
from pipeline.sources.ucf101 import Ucf101
from pipeline.sources.videobooth import VideoBooth
from pipeline.sources.webvid import Webvid

__all__ = ["SOURCES", "Entry", "Source", "SourceFault", "parse_source"]

SOURCES: dict[str, type[Source]] = {
    kind.name: kind for kind in (Folder, Webvid, Ucf101, Davis, Got10k, VideoBooth, Parquet)
}
"""Every source by what stands before the colon."""


def parse_source(text: str) -> Source:
    """The source that "DIR", "NAME:PLACE" or "NAME:PLACE,setting=value,..." names.

    DIR and PLACE are paths or fsspec URLs.
    Raises ValueError for an unknown name or setting; whether the place is there, `videos()` tells.
    """
    name, place = _split(text)
    if name is None:
        source: Source = Folder(place=text)
    else:
        place, settings = _settings(SOURCES[name], place)
        source = _made(SOURCES[name], text, {"place": place, **settings})
    if not source.place:
        raise ValueError(f"source {text!r} names no place; write {source.name}:PATH")
    return source


def _split(text: str) -> tuple[str | None, str]:
    """(name, the rest), or (None, text) for a plain path or URL."""
    match = re.match(r"([A-Za-z]\w*):(?!//|:)(.*)", text, re.DOTALL)
    if match is None or (match[1] not in SOURCES and Place.at(text).is_folder("")):
        return None, text
    if match[1] not in SOURCES:
        raise ValueError(f"unknown source {match[1]!r} in {text!r}; {_nearest(match[1], list(SOURCES))}")
    return match[1], match[2]


def _settings(kind: type[Source], place: str) -> tuple[str, dict[str, str]]:
    """Take the trailing ",setting=value" parts off a place; a comma elsewhere belongs to the path."""
    settings = {}
    while match := re.fullmatch(r"(.*),([a-z_]+)=([^,]*)", place, re.DOTALL):
        place, name, value = match.groups()
        known = [field for field in kind.model_fields if field != "place"]
        if name not in known:
            raise ValueError(f"{kind.name} has no setting {name!r}; {_nearest(name, known)}")
        settings[name] = value
    return place, settings


def _made(kind: type[Source], text: str, fields: dict[str, str]) -> Source:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"source {text!r}: {first_error(error)}") from None


def _nearest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known) or 'none'}"
