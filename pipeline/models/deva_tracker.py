"""DEVA as a tracker: carries the masks of segments through a clip (the paper's choice, Sec. 4.4)."""

from collections.abc import Callable, Iterator, Sequence

from pipeline.models.deva.settings import SIZES, Propagation, Size
from pipeline.models.pretrained import Device, chosen_device
from pipeline.models.tracking import ClipFrames, Masks, Seen, track_segments
from pipeline.models.weights import sha256
from pipeline.records import Segment, Tracklet
from pipeline.stage import Settings


class DevaTracker(Settings):
    """Propagation from the frame of each detection to both ends of the clip; masks of one frame are disjoint.

    `open()` gives a function from a clip's path, its number of frames and segments to their tracklets: see
    `pipeline.models.tracking.track_segments`.
    """

    checkpoint: str  # the file DEVA-propagation.pth
    size: Size = "published"
    propagation: Propagation = Propagation()
    device: Device = "auto"

    def fingerprint(self) -> str:
        """sha256 of the checkpoint."""
        return sha256(self.checkpoint)

    def open(self) -> Callable[[str, int, Sequence[Segment]], tuple[Tracklet, ...]]:
        from pipeline.models.deva.build import load
        from pipeline.models.deva.propagator import Propagator

        network = load(self.checkpoint, SIZES[self.size], chosen_device(self.device))
        propagator = Propagator(network, self.propagation)

        def follow(clip: ClipFrames, seed: int, masks: Masks) -> Iterator[Seen]:
            return propagator.track_from(clip, clip.num_frames, seed, masks)

        return lambda path, num_frames, segments: track_segments(path, num_frames, segments, follow)
