"""Measurer: everything that a rule can ask of a clip, measured once; each frame that is looked at is decoded once."""

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.models.nsfw import Nsfw
from pipeline.models.text_reader import TextReader
from pipeline.records import Encoded, Measured, Rejected, Tracked, grow
from pipeline.stage import Stage
from pipeline.stages.camera import Camera
from pipeline.stages.global_motion import Grey
from pipeline.stages.look import fingerprint, look_frames, measure_look
from pipeline.stages.measure import USABLE_AREA, measure_detections, measure_tracks, usable_boxes
from shards import video

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Look: TypeAlias = Callable[[NDArray[np.uint8]], dict[str, float]]  # scores of some frames, [N, H, W, 3]


class Measurer(Stage[Tracked, Measured]):
    """Measures the detections, the track, the frames' look and the clip's perceptual hash; judges nothing.

    What costs more is measured where the recipe names it: the camera's motion, the frames' text, what is not safe
    for work.
    """

    name: ClassVar[str] = "measurer"
    gives: ClassVar[type | None] = Measured
    models: ClassVar[frozenset[str]] = frozenset({"nsfw"})

    usable_area: float = Field(USABLE_AREA, gt=0, le=1)  # of the track's median area
    camera: Camera | None = None
    text: TextReader | None = None
    nsfw: Nsfw | None = None

    @property
    def uses_model(self) -> bool:  # type: ignore[override]
        return self.text is not None or self.nsfw is not None

    def fingerprint(self) -> str:
        named = {"camera": self.camera, "text": self.text, "nsfw": self.nsfw}
        return "; ".join(f"{name}: {measurement.fingerprint()}" for name, measurement in named.items() if measurement)

    def open(self) -> Callable[[Sequence[Tracked]], list[Measured | Rejected]]:
        looks = [measure_look, *(model.open() for model in (self.text, self.nsfw) if model)]
        return lambda batch: [self._measured(record, looks) for record in batch]

    def _measured(self, record: Tracked, looks: Sequence[Look]) -> Measured:
        frames, pictures = self._seen(record)
        scores = measure_detections(record) | measure_tracks(record, self.usable_area)
        for look in looks:
            scores |= look(np.stack(list(frames.values())))
        if self.camera:
            boxes = usable_boxes(record, self.usable_area)
            scores |= self.camera.measure(record, pictures, [boxes[number] for number in self.camera.frames(record)])
        hashed = np.stack([frames[number] for number in look_frames(record.num_frames)])
        return grow(Measured, record, scores=scores, phash=fingerprint(hashed))

    def _seen(self, record: Encoded) -> tuple[dict[int, Frame], list[Grey]]:
        """The frames to look at, by number, and those that show the camera's motion, shrunk."""
        looked = set(look_frames(record.num_frames))
        compared = set(self.camera.frames(record)) if self.camera else set()
        numbers = sorted(looked | compared)
        frames, pictures = {}, []
        for number, frame in zip(numbers, video.frames(record.path, numbers), strict=True):
            if number in looked:
                frames[number] = frame
            if self.camera and number in compared:
                pictures.append(self.camera.shrink(frame))
        return frames, pictures
