"""What a source itself says its videos are about: its subject words and captions tell the classes beforehand."""

from collections.abc import Sequence

from pipeline.records import FirstMask, FrameBoxes, Video
from pipeline.stages.annotate import Namer


def said_subjects(videos: Sequence[Video], namer: Namer) -> list[str] | None:
    """The subject of each video that the source names, by its words or by the first noun of its caption.

    None where a video of the source has neither, or no model of the recipe reads captions: then only a probe tells.
    """
    found = [_named(video) for video in videos]
    captions = [video.caption or "" for video, noun in zip(videos, found, strict=True) if noun is None]
    if captions and (namer.model is None or not all(captions)):
        return None
    read = iter(namer.model.open()(captions) if captions and namer.model else [])
    subjects = [noun if noun is not None else next((s.noun for s in next(read)), None) for noun in found]
    return [noun for noun in subjects if noun is not None]


def _named(video: Video) -> str | None:
    if video.nouns:
        return video.nouns[0]
    return video.annotation.noun if isinstance(video.annotation, FrameBoxes | FirstMask) else None
