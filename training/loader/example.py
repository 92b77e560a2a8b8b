"""One clip as a batch shows it: a window of its frames, the subject's boxes in them, and the subject image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from shards import rle, video
from shards.entry import content_sha256, decoder, run_lengths
from shards.rle import Box, Rle
from shards.sample import InvalidSample, Track
from training.loader.clips import Clip
from training.loader.picture import Crop
from training.loader.settings import Loader, Reference, Window
from training.loader.subject import cut_out, is_informative


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """What a batch has of one clip."""

    key: str
    caption: str  # "" where it was dropped
    noun: str
    frames: NDArray[np.uint8]  # [F, H, W, 3], RGB
    boxes: NDArray[np.float32]  # [F, 4], x0, y0, x1, y1 in pixels, half-open; zeros where there is none
    present: NDArray[np.bool_]  # [F], where there is a box
    subject: NDArray[np.uint8]  # [H, W, 3], the subject image
    masks: NDArray[np.bool_] | None  # [F, H, W], the subject's own; None unless the settings ask for them
    noise_seed: int  # of the noise and the timestep that belong to this draw, 0 to 2**63 - 1


class Told(NamedTuple):
    """What is drawn for a clip besides what is shown of it."""

    noise_seed: int
    caption: str


def told(clip: Clip, loader: Loader, generator: Generator) -> Told:
    noise_seed = int(generator.integers(2**63))
    return Told(noise_seed, "" if generator.random() < loader.text_dropout else clip.caption)


def example(
    clip: Clip,
    members: Mapping[str, bytes],
    loader: Loader,
    generator: Generator,
    shows: Generator | None = None,
    place: NDArray[np.uint8] | None = None,
) -> Example:
    """The example that `generator` draws from a clip's members; what it shows by `shows`, where that is given.

    Its frames lie in `place`, [F, H, W, 3], where that is given. Raises what names the data's fault: `InvalidSample`,
    `video.Unreadable`, or ValueError for a bad mask.
    """
    said, every_box, masks = _read(clip, members, loader)
    noise_seed, caption = told(clip, loader, generator)
    generator = shows or generator
    size = said["height"], said["width"]
    crop = Crop.centred(size, (loader.height, loader.width))
    seen = _Seen(masks, crop, loader.reference)
    stored = video.stored_clip(members["mp4"], said["pts"], Fraction(*said["time_base"]), size)
    numbers = window(every_box, clip.stride, loader.window, stored.keys, generator)
    chosen = reference_frame(numbers, seen, generator)
    wanted = sorted({*numbers, chosen})
    frames = np.empty((len(numbers), *crop.size, 3), np.uint8) if place is None else place
    row_of = {number: row for row, number in enumerate(numbers)}
    for number, scaled in zip(wanted, stored.frames(wanted, crop.scaled), strict=True):
        picture = crop.cut(scaled)
        if number in row_of:  # at once, so that the decoder's memory is free for its next picture
            frames[row_of[number]] = picture
        if number == chosen:
            subject = cut_out(picture, seen[chosen], loader.reference, generator)
    boxes, present = crop.boxes([every_box[number] for number in numbers])
    return Example(
        key=clip.key,
        caption=caption,
        noun=clip.subject,
        frames=frames,
        boxes=boxes,
        present=present,
        subject=subject,
        masks=np.stack([seen[number] for number in numbers]) if loader.masks else None,
        noise_seed=noise_seed,
    )


def window(
    boxes: Sequence[Box | None], stride: int, shape: Window, keys: Sequence[int], generator: Generator
) -> list[int]:
    """Numbers of the frames to show of a clip with these boxes, [T]; `keys` are its key frames."""
    span = (shape.num_frames - 1) * stride + 1
    starts = np.arange(len(boxes) - span + 1)
    if shape.start == "key":
        starts = np.array([key for key in keys if key <= len(boxes) - span])
    offsets = stride * np.arange(shape.num_frames)
    visible = np.array([box is not None for box in boxes])[starts[:, None] + offsets].mean(1)
    enough = starts[visible >= min(shape.min_visible, visible.max())]
    first = int(enough[int(generator.random() * len(enough))])
    return [first + int(offset) for offset in offsets]


def reference_frame(numbers: Sequence[int], seen: "_Seen", generator: Generator) -> int:
    """A random informative frame; where none is, the one with the largest mask. Raises InvalidSample for no mask."""
    pool = numbers if seen.reference.frames == "window" else range(len(seen))
    for number in generator.permutation(np.asarray(pool)).tolist():
        if seen.there(number) and is_informative(seen[number], seen.reference):
            return int(number)
    areas = {number: int(seen[number].sum()) for number in range(len(seen)) if seen.there(number)}
    best = max(areas, key=lambda number: (areas[number], -number), default=None)
    if best is None or not areas[best]:
        raise InvalidSample("no frame shows the subject inside the crop")
    return best


class _Seen:
    """The subject's masks in the crop, bool [H, W] each, drawn when they are asked for."""

    def __init__(self, masks: tuple[Rle | None, ...], crop: Crop, reference: Reference) -> None:
        self.reference = reference
        self._masks, self._crop = masks, crop
        self._drawn: dict[int, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return len(self._masks)

    def there(self, number: int) -> bool:
        return self._masks[number] is not None

    def __getitem__(self, number: int) -> NDArray[np.bool_]:
        if number not in self._drawn:
            runs, source = self._masks[number], self._crop.source
            mask = np.zeros(source, bool) if runs is None else rle.decode(runs, source)
            self._drawn[number] = self._crop.mask(mask, self.reference.mask_resize)
        return self._drawn[number]


def _read(
    clip: Clip, members: Mapping[str, bytes], loader: Loader
) -> tuple[dict[str, Any], Sequence[Box | None], tuple[Rle | None, ...]]:
    """What is said of the clip; boxes and masks of the subject's track, as people had it made anew where they did."""
    if loader.check_content and content_sha256(members) != clip.sha256:
        raise InvalidSample("its bytes are not those that its sidecar names")
    try:
        said = decoder(".json", members["json"])
        if said["key"] != clip.key:
            raise InvalidSample(f"its description is of {said['key']}")
        size, masks_of = run_lengths(members["masks"])
        if clip.redrawn is None:
            (boxes,) = (track["boxes"] for track in said["tracks"] if track["id"] == clip.track)
            masks = masks_of[clip.track]
        else:
            masks = clip.redrawn.masks
            boxes = Track.of_masks(masks, id=clip.track, noun=clip.subject, size=size).boxes
    except InvalidSample:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InvalidSample(f"not as the format has it: {error!r}") from error
    if not len(boxes) == len(masks) == len(said["pts"]):
        raise InvalidSample(f"{len(masks)} masks and {len(boxes)} boxes for {len(said['pts'])} frames")
    if size != (said["height"], said["width"]):
        raise InvalidSample(f"masks of {size}, video of {said['height']}, {said['width']}")
    return said, boxes, masks
