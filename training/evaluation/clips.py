"""An entry of a manifest opened: the video's bytes and frames, the boxes in its pixels, the subject image."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from shards import video as videos
from shards.rle import Size
from shards.video import Unreadable
from training.evaluation.encoders import Picture
from training.evaluation.manifest import Entry
from training.evaluation.metrics import Boxes
from training.evaluation.readers import target_boxes
from training.generation.subject import read_image, read_mask
from training.loader.settings import Reference

IMAGES = (".png", ".jpg", ".jpeg", ".webp")
FOLDER_FPS = 8.0
"""Frames a second of a folder of images, which says nothing of it: the paper's."""


class Wanting(Exception):  # noqa: N818  the name says what is wrong; "Error" would not add to it
    """The data's fault: what of an entry cannot be used, and why."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what  # "video", "prompt", "noun", "subject", "boxes" or "size"
        self.why = why


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFacts:
    """What is known of a video once it was decoded."""

    height: int
    width: int
    num_frames: int
    fps: float

    @property
    def size(self) -> Size:
        return self.height, self.width


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An entry with its inputs at hand; None for what it lacks."""

    entry: Entry
    sha256: str  # of the video
    facts: VideoFacts
    target: Boxes | None  # [F, 4] pixels
    subject: Picture | None
    faults: tuple[Wanting, ...]


def video_sha256(path: Path) -> str:
    """Of a file's bytes, or of the names and bytes of a folder's images. Raises `Wanting`."""
    digest = hashlib.sha256()
    if path.is_dir():
        for image in _images(path):
            digest.update(image.name.encode() + hashlib.sha256(image.read_bytes()).digest())
    elif path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    else:
        raise Wanting("video", f"{path.name} is not there")
    return digest.hexdigest()


def decoded(path: Path) -> tuple[NDArray[np.uint8], VideoFacts]:
    """Frames [F, H, W, 3], all of them. Raises `Wanting`."""
    if path.is_dir():
        frames = _read_images(path)
        return frames, _facts(frames, FOLDER_FPS)
    try:
        info = videos.probe(str(path))
        frames = np.stack(list(videos.frames(str(path), info=info)))
    except Unreadable as unreadable:
        raise Wanting("video", f"unreadable, {unreadable}") from None
    return frames, _facts(frames, info.num_frames / float(Fraction(info.end) - info.pts[0]))


def opened(entry: Entry, folder: Path, sha256: str, facts: VideoFacts) -> Asked:
    """What cannot be used of the entry is missing, and named in `faults`. `folder` is the manifest's."""
    faults: list[Wanting] = []
    target = subject = None
    try:
        if entry.boxes is not None:
            target = _target(entry, folder, facts)
    except ValueError as error:
        faults.append(Wanting("boxes", str(error)))
    try:
        if entry.subject is not None:
            subject = _subject(folder / entry.subject, None if entry.mask is None else folder / entry.mask)
    except (ValueError, OSError) as error:
        faults.append(Wanting("subject", str(error)))
    return Asked(entry=entry, sha256=sha256, facts=facts, target=target, subject=subject, faults=tuple(faults))


def _target(entry: Entry, folder: Path, facts: VideoFacts) -> Boxes:
    assert entry.boxes is not None
    if isinstance(entry.boxes, dict) and isinstance(entry.boxes.get("size"), list):
        _check_shape(entry.boxes["size"], facts)
    shares = target_boxes(entry.boxes, folder, facts.num_frames)
    return np.asarray(shares * [facts.width, facts.height, facts.width, facts.height])


def _check_shape(size: list[float], facts: VideoFacts) -> None:
    """Boxes in pixels of a frame of another shape are boxes of another video."""
    if len(size) == 2 and abs(size[0] * facts.width / (size[1] * facts.height) - 1) > 0.02:
        raise ValueError(
            f"boxes: in pixels of {size[0]:g}x{size[1]:g}, and the video has {facts.height}x{facts.width}: "
            "give boxes of this shape, or shares of the frame"
        )


def _subject(path: Path, mask: Path | None) -> Picture:
    """What lies around the subject is blank where the image is transparent or comes with a mask."""
    picture, inside = read_image(path)
    if mask is not None:
        inside = read_mask(mask, (picture.shape[0], picture.shape[1]))
    return picture if inside is None else np.where(inside[..., None], picture, np.uint8(Reference().blank))


def _facts(frames: NDArray[np.uint8], fps: float) -> VideoFacts:
    return VideoFacts(num_frames=len(frames), height=frames.shape[1], width=frames.shape[2], fps=fps)


def _images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    if not found:
        raise Wanting("video", f"{folder.name} is a folder without images")
    return found


def _read_images(folder: Path) -> NDArray[np.uint8]:
    try:
        frames = [np.asarray(Image.open(path).convert("RGB")) for path in _images(folder)]
    except (UnidentifiedImageError, OSError) as error:
        raise Wanting("video", f"unreadable, {error}") from None
    if len({frame.shape for frame in frames}) > 1:
        raise Wanting("video", f"images of {folder.name} differ in size")
    return np.stack(frames)
