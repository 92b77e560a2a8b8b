"""UCF101: action clips in one folder a class, `ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi`."""

import re
from collections.abc import Iterator
from typing import ClassVar

from pipeline.records import Video
from pipeline.sources.place import Place, is_video
from pipeline.sources.source import Entry, Source, SourceFault


class Ucf101(Source):
    """Clips of UCF101, captioned with their class's name in words: "apply eye makeup".

    The folder names the class, not the file: the publishers spell HandstandPushups in two ways.
    """

    name: ClassVar[str] = "ucf101"
    expects: ClassVar[str] = "one folder a class with its videos, or the folder UCF-101 that holds these"

    def entries(self) -> Iterator[Entry]:
        place = Place.existing(self.place)
        if place.is_folder("UCF-101"):
            place = place.folder("UCF-101")
        for name in filter(is_video, place.files()):
            yield SourceFault(id=f"ucf101/{name}", why="video outside the class folders", value=name)
        for folder in place.folders():
            for name in filter(is_video, place.files(folder)):
                yield Video(
                    id=f"ucf101/{folder}/{name}",
                    uri=place.uri(f"{folder}/{name}"),
                    caption=in_words(folder),
                    caption_by="ucf101 class name",
                )


def in_words(class_name: str) -> str:
    """Lower-case words of a CamelCase name: "YoYo" -> "yo yo"; a name without letters or digits stays."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", class_name)
    return " ".join(words).lower() or class_name
