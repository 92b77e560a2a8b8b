"""One sample, or several, for people to look at: contact sheet, overlay video and the record in words."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shards import drawing, entry, rle, video
from shards.sample import Sample, Track
from shards.verdicts import Decision

SHEET_TILE = (320, 240)  # pixels that a frame of a contact sheet may fill
ROW_TILE = (220, 160)  # the same where several samples share a sheet
VIDEO_SIDE = 480  # pixels, about: a small clip is enlarged by a whole factor till its longer side has so many


def contact_sheet(sample: Sample, num_frames: int = 12, columns: int = 4) -> Image.Image:
    """`num_frames` frames, evenly spread, with masks, boxes, frame numbers and times, under a header."""
    return _sheet(sample, evenly_spread(sample.num_frames, num_frames), SHEET_TILE, columns)


def overview(samples: Iterable[Sample], num_frames: int = 6) -> Image.Image:
    """A row of frames for each sample."""
    rows = (_sheet(sample, evenly_spread(sample.num_frames, num_frames), ROW_TILE, num_frames) for sample in samples)
    return drawing.stacked(list(rows))


def overlay_video(sample: Sample) -> bytes:
    """The clip as MP4 with the original times, masks and boxes drawn into every frame."""
    factor = max(1, round(VIDEO_SIDE / max(sample.width, sample.height)))
    size = (factor * sample.width, factor * sample.height)
    return video.encode(_overlaid(sample, size), sample.pts, sample.time_base)


def png(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()


def evenly_spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` numbers of 0..count-1 from the first to the last, evenly spread, without repeats."""
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, wanted))})


def describe(sample: Sample) -> str:
    """The record in aligned lines: what, how long, every track, every score, where it came from."""
    lines = [
        ("key", sample.key),
        ("subject", sample.subject),
        ("caption", f"{sample.caption}  (by {sample.provenance.get('caption_by', 'nobody named')})"),
        ("clip", facts(sample)),
        *((f"track {track.id}", _describe_track(track, sample)) for track in sample.tracks),
        *((name, f"{value:.4g}") for name, value in sorted(sample.scores.items())),
        *((name, _short(value)) for name, value in sorted(sample.provenance.items())),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def facts(sample: Sample) -> str:
    """Size, length and rate of the clip in one line."""
    times = sample.times
    rate = f", {(len(times) - 1) / times[-1]:.4g} frames/s" if len(times) > 1 else ""
    return f"{sample.width}x{sample.height}, {sample.num_frames} frames, last at {times[-1]:.2f} s{rate}"


def _describe_track(track: Track, sample: Sample) -> str:
    areas = [rle.area(mask, sample.size) for mask in track.masks if mask is not None]
    share = sum(areas) / len(areas) / (sample.width * sample.height)
    scores = "".join(f", {name} {value:.4g}" for name, value in sorted(track.scores.items()))
    return f"{track.noun}, in {len(areas)} of {sample.num_frames} frames, {share:.1%} of the picture{scores}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 160 else text[:159] + "…"


def _sheet(sample: Sample, numbers: Sequence[int], within: tuple[int, int], columns: int) -> Image.Image:
    size = drawing.tile_size(sample.width, sample.height, within)
    frames = video.frames(sample.video, indices=numbers)
    tiles = [
        drawing.Tile(image=drawing.draw_frame(frame, _marks(sample, t), size), below=f"#{t}  {sample.times[t]:.2f} s")
        for t, frame in zip(numbers, frames, strict=True)
    ]
    line = f"{sample.key}   {facts(sample)}   {sample.provenance.get('video', '')}"
    return drawing.draw_sheet(sample.subject, drawing.COLOURS[0], sample.caption, line, tiles, columns)


def _marks(sample: Sample, frame: int) -> list[drawing.Mark]:
    """The tracks that are there in frame number `frame`."""
    marks = []
    for number, track in enumerate(sample.tracks):
        mask, box = track.masks[frame], track.boxes[frame]
        if mask is None or box is None:
            continue
        colour = drawing.COLOURS[number % len(drawing.COLOURS)]
        label = f"{track.id} {track.noun}"
        marks.append(drawing.Mark(colour=colour, label=label, mask=rle.decode(mask, sample.size), box=box))
    return marks


def _overlaid(sample: Sample, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    for t, frame in enumerate(video.frames(sample.video)):
        image = drawing.draw_frame(frame, _marks(sample, t), size)
        text = f"#{t}  {sample.times[t]:.2f} s"
        draw = ImageDraw.Draw(image)
        draw.text(
            (6, size[1] - 6),
            text,
            fill=drawing.TEXT,
            font=drawing.font(14),
            anchor="ls",
            stroke_width=2,
            stroke_fill=drawing.GROUND,
        )
        yield np.asarray(image)


def record(sample: Sample) -> dict[str, Any]:
    """The record without masks and media, as plain JSON."""
    said: dict[str, Any] = json.loads(entry.to_members(sample)["json"])
    return said


def decision(decided: Decision) -> dict[str, Any]:
    """What people decided, as plain JSON, without what they left open."""
    said = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(decided).items()}
    said["redrawn"] = [track.id for track in decided.redrawn]  # without the masks
    return {name: value for name, value in said.items() if value not in (None, [])}
