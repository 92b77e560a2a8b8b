"""SAM 2.1 as a tracker, through transformers: the permissive alternative to DEVA.

Ravi et al., arXiv 2408.00714; Apache-2.0. A clip is streamed, and of the frames behind only the memory that the
network can still reach is kept, so a long clip takes no more memory than a short one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.models.pretrained import Pretrained
from pipeline.models.tracking import ClipFrames, Frame, Masks, TrackSegments, track_segments

BACKWARD_FRAMES = 16
"""Frames held at a time where a clip is followed backwards, since videos are read forwards."""


class Sam2Tracker(Pretrained):
    """Propagation from the frame of each detection to both ends of the clip; masks may overlap.

    `model` is a `Sam2VideoModel` such as facebook/sam2.1-hiera-large. `open()` gives a function from a clip's path,
    its number of frames and segments to their tracklets: see `pipeline.models.tracking.track_segments`. Confidence is
    the network's own probability that the object is in the frame.
    """

    def network_class(self) -> Any:
        from transformers import Sam2VideoModel

        return Sam2VideoModel

    def open(self) -> TrackSegments:
        from transformers import Sam2VideoProcessor

        follower = _Follower(self.load_network(), self.load(Sam2VideoProcessor))
        return lambda path, num_frames, segments, ahead=None: track_segments(
            path, num_frames, segments, follower, ahead
        )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    index: int
    masks: Masks
    confidence: tuple[float | None, ...]
    area: tuple[float, ...]
    shift: tuple[float | None, ...]


class _Follower:
    """Follows masks through clips; holds nothing of one clip for the next."""

    def __init__(self, network: Any, processor: Any) -> None:
        self.network = network
        self.processor = processor

    def __call__(self, clip: ClipFrames, seed: int, masks: Masks) -> Iterator[_Seen]:
        onwards = range(seed, clip.num_frames)
        yield from self._tracked(zip(onwards, clip(onwards), strict=True), masks)
        if seed:
            # A session of its own, in which time runs backwards: the network only knows how far off a frame is.
            yield from islice(self._tracked(_backwards(clip, seed), masks), 1, None)

    def _tracked(self, frames: Iterable[tuple[int, Frame]], masks: Masks) -> Iterator[_Seen]:
        session = self.processor.init_video_session(inference_device=self.network.device, dtype=self.network.dtype)
        self.processor.add_inputs_to_inference_session(
            session, frame_idx=0, obj_ids=list(range(len(masks))), input_masks=list(masks)
        )
        before: list[NDArray[np.float64] | None] = [None] * len(masks)
        for time, (index, frame) in enumerate(frames):
            found, confidence = self._step(session, time, frame)
            if time == 0:
                found, confidence = masks, [1.0] * len(masks)
            centres = [_centre(mask) for mask in found]
            yield _Seen(
                index=index,
                masks=found,
                confidence=tuple(c if mask.any() else None for c, mask in zip(confidence, found, strict=True)),
                area=tuple(float(mask.mean()) for mask in found),
                shift=tuple(_shift(a, b, frame.shape) for a, b in zip(before, centres, strict=True)),
            )
            before = centres

    def _step(self, session: Any, time: int, frame: Frame) -> tuple[Masks, list[float]]:
        """Masks [K, H, W] and probabilities [K] of the session's next frame."""
        device, size = self.network.device, frame.shape[:2]
        images = self.processor(images=frame, device=device, input_data_format="channels_last", return_tensors="pt")
        answer = self.network(session, frame=images.pixel_values, frame_idx=time)
        self._forget(session, time)
        (masks,) = self.processor.post_process_masks([answer.pred_masks.float()], original_sizes=[size])
        return masks[:, 0].cpu().numpy(), answer.object_score_logits.float().sigmoid().flatten().tolist()

    def _forget(self, session: Any, time: int) -> None:
        """Drop what the next frame's step cannot reach."""
        config = self.network.config
        reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)  # frames, the next one among them
        session.processed_frames.clear()
        for done, outputs in zip(
            session.frames_tracked_per_obj.values(), session.output_dict_per_obj.values(), strict=True
        ):
            done.clear()
            outputs["non_cond_frame_outputs"].pop(time + 1 - reach, None)
            for kept in outputs.values():
                if time in kept:
                    del kept[time]["high_res_masks"]


def _backwards(clip: ClipFrames, last: int) -> Iterator[tuple[int, Frame]]:
    """Frames from `last` down to 0, a few read forwards at a time."""
    for end in range(last + 1, 0, -BACKWARD_FRAMES):
        part = range(max(0, end - BACKWARD_FRAMES), end)
        yield from reversed(list(zip(part, clip(part), strict=True)))


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """y, x; None for an empty mask."""
    return np.argwhere(mask).mean(axis=0) if mask.any() else None


def _shift(before: NDArray[np.float64] | None, now: NDArray[np.float64] | None, shape: tuple[int, ...]) -> float | None:
    if before is None or now is None:
        return None
    return hypot(*(now - before)) / hypot(*shape[:2])
