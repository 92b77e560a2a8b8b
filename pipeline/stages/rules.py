"""What is allowed: each rule a threshold over measured values, and all of them as `Rules`.

measure.py, look.py and camera.py say what the values are. A rule needs no model and no video, so other thresholds can
be tried on values that were stored long ago.
"Stated" is what the DreamVideo-2 paper says, "chosen" what it leaves open: every number but that of `Count`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Self, TypeAlias

from pydantic import Field, model_validator

from pipeline.stage import Settings

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Range: TypeAlias = tuple[Share, Share]  # lowest and highest that is kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A rule that a clip breaks, and the value that breaks it."""

    rule: str  # name of the value: "size.area"; or "count.none", "track.none"
    value: float


class Rule(Settings):
    """One or more thresholds that belong together."""

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        """The first threshold that `scores` break; KeyError when a value that the rule needs is not there."""
        raise NotImplementedError


class Count(Rule):
    """Keep when the subject word has at most `max` boxes in the first frame. Stated, and so is its 1."""

    max: int = Field(1, ge=1)

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "count", self.max)


class Size(Rule):
    """Keep when the first box is neither too small nor too large against the clip.

    Stated: the ratios of width, height and area. Chosen: the ranges; the area's is that of Phantom-Data.
    """

    width: Range = (0.1, 0.98)
    height: Range = (0.1, 0.98)
    area: Range = (0.04, 0.90)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("width", "height", "area"):
            lowest, highest = getattr(self, name)
            if lowest > highest:
                raise ValueError(f"size.{name}: the lowest, {lowest}, is above the highest, {highest}: swap them")
        return self

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        ranges = {"size.width": self.width, "size.height": self.height, "size.area": self.area}
        outside = [n for n, (lowest, highest) in ranges.items() if not lowest <= scores[n] <= highest]
        return Broken(rule=outside[0], value=scores[outside[0]]) if outside else None


class Motion(Rule):
    """Keep when the track's first and last boxes differ: IoU below `max_iou` OR shift above `min_shift`.

    Stated: the comparison of first and last box, for WebVid alone (`sources=("webvid",)`). Chosen: both
    thresholds; `sources` None means every source. A moving camera counts as motion: see `OwnMotion`.
    """

    max_iou: Share = 0.8
    min_shift: float = Field(0.05, ge=0)  # of the clip's diagonal
    sources: tuple[str, ...] | None = None  # what stands before the first "/" of a video's id

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        iou, shift = scores["motion.iou"], scores["motion.shift"]
        return None if iou < self.max_iou or shift > self.min_shift else Broken(rule="motion.iou", value=iou)

    def holds_for(self, source: str) -> bool:
        return self.sources is None or source in self.sources


class OwnMotion(Rule):
    """Keep when the subject itself moves: it gets farther than `min_shift` from where the camera alone would take it.

    Not in the paper, whose comparison takes a pan over a still subject for motion and a pan that follows a moving one
    for stillness. Chosen: in 60 practice scenes only the camera moved, and none came past 0.05; of 175 with a moving
    subject all came past 0.15.
    """

    min_shift: float = Field(0.05, ge=0)  # of the clip's diagonal

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _under(scores, "motion.compensated", self.min_shift)


class Effective(Rule):
    """Keep when at least this share of the frames has a usable mask. Not in the paper; chosen."""

    min: Share = 0.8

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _under(scores, "effective", self.min)


class Lost(Rule):
    """Keep when the track has few and short gaps. Not in the paper; chosen: a short occlusion is no loss."""

    max_spans: int = Field(2, ge=0)
    max_longest: Share = 0.1  # of the clip's frames

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        spans, longest = scores["lost.spans"], scores["lost.longest"]
        if spans > self.max_spans:
            return Broken(rule="lost.spans", value=spans)
        return Broken(rule="lost.longest", value=longest) if longest > self.max_longest else None


class AreaJump(Rule):
    """Keep when the mask's area never grows or shrinks by more than `max` times from one frame to the next.

    Not in the paper; chosen: a mask that jumps has usually slipped onto something else.
    """

    max: float = Field(3.0, ge=1)

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "area.jump", self.max)


class Border(Rule):
    """Keep when the subject's box touches the border in at most this share of its frames.

    Not in the paper; chosen.
    """

    max: Share = 0.5

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "border", self.max)


class Black(Rule):
    """Keep when at most this share of the frames looked at is black all over. Not in the paper; chosen: a fade in."""

    max: Share = 0.25

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "black.share", self.max)


class Static(Rule):
    """Keep when the picture changes: less of it than `max_share` stays the same, and few frames are held.

    Not in the paper; chosen: the smallest subject that `Size` keeps changes twice its 4% where it leaves its place.
    """

    max_share: Share = 0.98
    max_frozen: Share = 0.5  # of the frames looked at

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "static.share", self.max_share) or _over(scores, "frozen.share", self.max_frozen)


class Bars(Rule):
    """Keep when black bars take at most this share of the picture. Not in the paper; chosen."""

    max: Share = 0.05

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "bars.share", self.max)


class Text(Rule):
    """Keep when text covers at most this share of any frame looked at. Not in the paper; chosen."""

    max: Share = 0.05

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "text.share", self.max)


class SafeForWork(Rule):
    """Keep when no frame looked at is more probably than this not safe for work. Not in the paper; chosen."""

    max: Share = 0.5

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        return _over(scores, "nsfw", self.max)


class Duplicate(Rule):
    """Keep when the nearest clip that was kept earlier is farther than `max_distance` bits of 64.

    Not in the paper; chosen: copies of 11 real clips (halved, recompressed, brightened by 30%, cropped by 4%,
    watermarked) lay within 8, neighbouring clips of one video from 9, clips of different videos from 24.

    The one rule about a dataset and not about one clip: whoever closes the shards in order asks the
    `DuplicateIndex` and then this rule; `Rules.broken` leaves it out.
    """

    max_distance: int = Field(8, ge=0, le=64)

    def broken(self, scores: Mapping[str, float]) -> Broken | None:
        value = scores["duplicate.distance"]
        return Broken(rule="duplicate.distance", value=value) if value <= self.max_distance else None


class Rules(Settings):
    """Every rule that can be switched on; None is off. What comes first is named where a clip breaks several."""

    count: Count | None = None
    size: Size | None = None
    black: Black | None = None
    motion: Motion | None = None
    own_motion: OwnMotion | None = None
    effective: Effective | None = None
    lost: Lost | None = None
    area_jump: AreaJump | None = None
    border: Border | None = None
    static: Static | None = None
    bars: Bars | None = None
    text: Text | None = None
    nsfw: SafeForWork | None = None
    duplicate: Duplicate | None = None

    def broken(self, scores: Mapping[str, float], source: str) -> list[Broken]:
        """All broken rules about one clip of `source`, in the fields' order; KeyError as in `Rule.broken`."""
        answers = (rule.broken(scores) for rule in self._about_one_clip(source))
        return [answer for answer in answers if answer]

    def on_detections(self) -> "Rules":
        """The rules that can be asked before anything is segmented or tracked."""
        return Rules(count=self.count, size=self.size)

    def _about_one_clip(self, source: str) -> Iterator[Rule]:
        for name in type(self).model_fields:
            rule = getattr(self, name)
            if rule and name != "duplicate" and (name != "motion" or rule.holds_for(source)):
                yield rule


MEASUREMENTS = {"own_motion": "camera", "text": "text", "nsfw": "nsfw"}
"""Rules about values that are measured only where the recipe asks for it, and what the Measurer calls that."""


def rejudge(scores: Mapping[str, float], rules: Rules, source: str) -> list[Broken]:
    """All that a clip breaks, by its measured values, the reason to reject it first; empty means keep.

    A clip whose subject was not detected ("count.none") or has no mask in any frame ("track.none") is broken
    whatever the rules, and nothing else can be asked of it. Raises KeyError when a rule is on whose value was
    never measured: a clip that stopped before tracking cannot be judged by its track.
    """
    for name, rule in (("count", "count.none"), ("effective", "track.none")):
        if scores.get(name) == 0:
            return [Broken(rule=rule, value=0.0)]
    return rules.broken(scores, source)


def _under(scores: Mapping[str, float], name: str, lowest: float) -> Broken | None:
    value = scores[name]
    return Broken(rule=name, value=value) if value < lowest else None


def _over(scores: Mapping[str, float], name: str, highest: float) -> Broken | None:
    value = scores[name]
    return Broken(rule=name, value=value) if value > highest else None
