"""Small trees of files in the published layouts, for the tests of sources."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.records import Video
from pipeline.sources import Source, SourceFault


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def write_palette(path: Path, labels: NDArray[np.uint8]) -> None:
    """A palette PNG whose colours differ from its labels, as DAVIS 2017 has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette([(7 * k + c) % 256 for k in range(256) for c in (90, 10, 200)])
    image.save(path)


def write_frames(folder: Path, count: int, *, first: int = 0, digits: int = 5) -> None:
    """Placeholders for frames: a source lists them, and does not open them."""
    write_tree(folder, {f"{first + k:0{digits}d}.jpg": "" for k in range(count)})


def split(source: Source) -> tuple[Sequence[Video], Sequence[SourceFault]]:
    entries = list(source.videos())
    videos = [entry for entry in entries if isinstance(entry, Video)]
    return videos, [entry for entry in entries if isinstance(entry, SourceFault)]


def faults(source: Source) -> Mapping[str, str]:
    """Why each entry that is no video is none, by id."""
    return {fault.id: fault.why for fault in split(source)[1]}
