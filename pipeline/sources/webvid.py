"""WebVid's published CSV, and the videos that its user downloaded.

results_10M_train.csv               videoid, contentUrl, duration, page_dir, name (the caption)
videos/006001_006050/1066674784.mp4 or videos/1066674784.mp4
"""

from collections.abc import Iterator
from typing import ClassVar

from pipeline.records import Video
from pipeline.sources.place import Place, join
from pipeline.sources.source import Entry, Source, SourceFault
from pipeline.sources.table import rows


class Webvid(Source):
    """Rows of a WebVid CSV. Nothing is downloaded: a row whose video does not lie under `root` is a fault."""

    name: ClassVar[str] = "webvid"
    expects: ClassVar[str] = (
        "PAGE_DIR/VIDEOID.mp4 or VIDEOID.mp4 in the folder `videos` beside the CSV, or webvid:CSV,root=DIR"
    )

    root: str | None = None  # path or URL of the folder of videos; None: the folder `videos` beside the CSV

    def entries(self) -> Iterator[Entry]:
        place, name = Place.of_file(self.place)
        downloads = Downloads(place.folder("videos") if self.root is None else Place.existing(self.root))
        for number, row in rows(place, name, needed=("videoid", "page_dir", "name")):
            yield _entry(downloads, number, row)


class Downloads:
    """The videos under a folder, each folder of it listed once (about 100 bytes a video in memory)."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._listed: dict[str, frozenset[str]] = {}

    def find(self, page_dir: str, videoid: str) -> str | None:
        """Path or URL of a video; `None` where it was not downloaded."""
        for folder in dict.fromkeys((page_dir, "")):
            if folder not in self._listed:
                self._listed[folder] = frozenset(self._place.files(folder))
            if f"{videoid}.mp4" in self._listed[folder]:
                return self._place.uri(join(folder, f"{videoid}.mp4"))
        return None


def _entry(downloads: Downloads, number: int, row: dict[str, str]) -> Entry:
    videoid = row["videoid"].strip()
    if not videoid:
        return SourceFault(id=f"webvid/row {number}", why="row without a videoid", value=row["name"])
    uri = downloads.find(row["page_dir"].strip(), videoid)
    if uri is None:
        return SourceFault(id=f"webvid/{videoid}", why="video not downloaded", value=row.get("contentUrl"))
    return Video(id=f"webvid/{videoid}", uri=uri, caption=" ".join(row["name"].split()) or None)
