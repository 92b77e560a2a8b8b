"""What is cheaply known of a source's videos: headers alone, of many at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import fsspec
from PIL import Image

from pipeline.estimate.strata import Unit
from pipeline.records import Video, record_key
from pipeline.stages.cutter import image_paths, is_folder
from shards import video as videos

MOST = 20_000
"""Videos whose headers are read; of a larger source, so many spread over it."""
AT_ONCE = 16


def glances(source: Sequence[Video], seen: Callable[[int, int], None] = lambda done, of: None) -> list[Unit]:
    """Of each video what its headers say, of at most `MOST` of them; `seen` is told how far it is."""
    chosen = sorted(source, key=lambda video: record_key(video.id))[:MOST]
    units = []
    with ThreadPoolExecutor(AT_ONCE) as readers:
        for unit in readers.map(_glance, chosen):
            units.append(unit)
            seen(len(units), len(chosen))
    return units


def _glance(video: Video) -> Unit:
    kind = video.annotation.kind if video.annotation else "captioned" if video.caption else "bare"
    try:
        num_frames, width, height = _of_folder(video) if is_folder(video) else _of_file(video.uri)
    except videos.Unreadable as error:
        return Unit(id=video.id, kind=error.why)
    return Unit(id=video.id, kind=kind, num_frames=num_frames, megapixels=num_frames * width * height / 1e6)


def _of_file(uri: str) -> tuple[float, int, int]:
    found = videos.glance(uri)
    return found.num_frames, found.width, found.height


def _of_folder(video: Video) -> tuple[float, int, int]:
    paths = image_paths(video)
    if not paths:
        raise videos.Unreadable("no_frames", "0 images")
    try:
        with fsspec.open(paths[0], "rb") as file, Image.open(file) as image:
            return float(len(paths)), image.width, image.height
    except OSError as error:
        raise videos.Unreadable("not_an_image", str(error)) from None
