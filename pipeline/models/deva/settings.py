"""Sizes of the network, and settings of the propagation and its semi-online mode; defaults are the published ones."""

from typing import Literal, TypeAlias

from pydantic import Field, PositiveInt, model_validator

from pipeline.stage import Settings


class Widths(Settings):
    """Channels and blocks of the network."""

    stem: PositiveInt = 64  # first channels of both ResNets; later stages have 2 and 4 times as many
    pixel: PositiveInt = 512  # image feature at stride 16
    key: PositiveInt = 64
    value: PositiveInt = 512  # memory's values, and the sensory memory
    hidden: PositiveInt = 256  # decoder at strides 8 and 4
    image_blocks: tuple[PositiveInt, PositiveInt, PositiveInt] = (3, 4, 6)
    mask_blocks: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2)


PUBLISHED = Widths()
SMALL = Widths(stem=16, pixel=64, key=32, value=64, hidden=32, image_blocks=(1, 2, 2), mask_blocks=(1, 1, 1))

Size: TypeAlias = Literal["published", "embedded"]
SIZES: dict[Size, Widths] = {"published": PUBLISHED, "embedded": SMALL}


class Propagation(Settings):
    """How masks are carried through a clip. The memory is bounded by these numbers, whatever the clip's length."""

    short_side: PositiveInt | None = 480  # pixels; larger frames are reduced to it, None keeps every size
    enlarge: bool = False  # smaller frames to the short side: for a network that was trained so
    mem_every: PositiveInt = 5  # frames from one that is remembered to the next
    top_k: PositiveInt = 30  # memory tokens that a position reads
    max_mid_term_frames: int = 10  # frames of working memory at which the middle ones are consolidated
    min_mid_term_frames: PositiveInt = 5  # frames that stay: the first, and the latest others
    num_prototypes: PositiveInt = 128  # long-term tokens that one consolidation gives
    max_long_term_elements: int = 10_000  # tokens
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the convolutions

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width at which the network sees a frame of that height and width."""
        shorter = min(size)
        if self.short_side is None or (shorter <= self.short_side and not self.enlarge):
            return size
        return size[0] * self.short_side // shorter, size[1] * self.short_side // shorter

    @model_validator(mode="after")
    def _enlarged_to_something(self) -> "Propagation":
        if self.enlarge and self.short_side is None:
            raise ValueError("enlarge needs a short_side to enlarge to: name one")
        return self

    @model_validator(mode="after")
    def _memory_can_be_kept(self) -> "Propagation":
        if self.max_mid_term_frames <= self.min_mid_term_frames:
            raise ValueError(
                f"max_mid_term_frames {self.max_mid_term_frames} leaves nothing to consolidate: "
                f"it must be above min_mid_term_frames {self.min_mid_term_frames}"
            )
        if self.max_long_term_elements < self.num_prototypes:
            raise ValueError(
                f"max_long_term_elements {self.max_long_term_elements} holds no consolidation: "
                f"it must be at least num_prototypes {self.num_prototypes}"
            )
        return self


class SemiOnline(Settings):
    """When a detector is asked while masks are carried on, and how long an object may go unseen by it."""

    detection_every: PositiveInt = 5  # frames from one vote's first frame to the next's
    num_voting_frames: PositiveInt = 3
    max_missed_detections: int = Field(default=10, ge=0)  # votes in a row; one more and the object is dropped
    max_num_objects: PositiveInt | None = None  # a vote that would lead beyond it is passed over

    @model_validator(mode="after")
    def _votes_do_not_overlap(self) -> "SemiOnline":
        if self.detection_every < self.num_voting_frames:
            raise ValueError(
                f"detection_every {self.detection_every} is below num_voting_frames {self.num_voting_frames}: "
                "a frame would vote twice"
            )
        return self
