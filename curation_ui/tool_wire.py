"""What page and server say to each other about the tools: quality, thresholds, trainer, versions, segmenting, study."""

from typing import Annotated, Literal

from pydantic import Field

from curation_ui.wire import Box, Column, EventId, Filter, Key, Name, State, Wire, Word

# Quality: a sample with its interval, agreement, what is open between two


class SampleRequest(Wire):
    """A seeded sample, stratified: each clip has the same chance, each stratum gets its share, rounded up or down."""

    size: int = Field(default=400, ge=1, le=20_000)
    seed: int = Field(default=0, ge=0, lt=2**53)
    by: Column | None = "subject"  # stratum of a clip; numbers in quarters; None: one stratum
    filter: Filter = Filter()


class Interval(Wire):
    """`count` of `of` and the share's Wilson interval at 95 %; of 0 says nothing and has none."""

    count: int
    of: int
    share: float | None
    low: float | None
    high: float | None


class Stratum(Wire):
    name: str
    clips: int  # in the dataset under the filter
    sampled: int
    rejected: Interval


class QualitySample(Wire):
    keys: list[str]  # in the order to review them, mixed over the strata
    decided: list[bool]  # of each key, by the one who asks
    rejected: Interval  # of those decided: rejected
    corrected: Interval  # of those decided: rejected, or accepted with another subject, caption or fewer tracks
    weighted: float | None  # reject rate with each stratum weighted by its clips; None while one has no decision
    strata: list[Stratum]


class Reviewer(Wire):
    who: str
    decided: int  # clips accepted or rejected
    rejected: int


class Pair(Wire):
    """Two reviewers over the clips that both decided before either could see the other's verdict."""

    a: str
    b: str
    clips: int
    agree: int
    table: tuple[int, int, int, int]  # both accept, a accepts b rejects, a rejects b accepts, both reject
    kappa: float | None  # Cohen's; None where it is not defined


class Disagreement(Wire):
    key: str
    subject: str
    caption: str
    strip: str | None
    decided: dict[str, Literal["accepted", "rejected"]]  # by reviewer
    settled_by: str | None  # whose later verdict holds
    settled_as: State | None


class Agreement(Wire):
    reviewers: list[Reviewer]
    pairs: list[Pair]
    alpha: float | None  # Krippendorff's, nominal, over all clips with two reviewers or more
    twice: int  # clips with two reviewers or more
    queue: list[Disagreement]  # open ones first
    open: int


# Thresholds


class RuleSetting(Wire):
    name: str  # "size.area.0": lowest of a range; "motion.max_iou"
    rule: str  # "size"
    column: str | None  # the value it is about, for a histogram; None: nobody measured it
    side: Literal["low", "high"]  # keeps what is above, or what is below
    value: float  # of the dataset's recipe, or the rule's default where the recipe has it off
    lowest: float  # of a slider
    highest: float
    on: bool  # the recipe has the rule


class Rules(Wire):
    settings: list[RuleSetting]


class ThresholdsRequest(Wire):
    """Other thresholds than the dataset's, by `RuleSetting.name`; None switches the setting's whole rule off."""

    settings: Annotated[dict[Column, float | None], Field(max_length=50)]


class Thresholds(Wire):
    """What `refilter` with these settings would keep, as far as values were measured."""

    kept: int
    rejected: int
    unknown: int  # a rule asks for a value that was never measured: needs a model run
    was_kept: int  # by the dataset's own
    gained: int  # rejected now, kept then
    lost: int  # kept now, rejected then
    reasons: list[Word]  # first broken rule -> clips
    gained_keys: list[str]  # some of them
    lost_keys: list[str]
    command: str  # the `dreamreel refilter` that does it


# As the trainer sees it


class TrainerRequest(Wire):
    key: Key
    seed: int = Field(default=0, ge=0, lt=2**53)
    recipe: Column | None = None  # one that comes with `training`: sizes, frames, weights; None: the server's


class TrainerFrame(Wire):
    picture: str  # data: URL, the crop as the network gets it
    box: tuple[float, float, float, float] | None  # pixels of the crop
    weights: str  # data: URL, the loss weight of every latent, white is the greatest


class TrainerView(Wire):
    width: int  # pixels of the crop
    height: int
    fps: float
    caption: str  # "" where this draw leaves it out
    noun: str
    frames: list[TrainerFrame]
    subject: str  # data: URL, the subject image on its blank background
    least_weight: float  # of the loss, outside of boxes
    greatest_weight: float
    settings: dict[str, float | int | str]  # what of the recipe decided this


# Two versions


class DiffRequest(Wire):
    a: Name  # dataset
    b: Name
    only: Literal["all", "only_in_a", "only_in_b", "changed", "subject", "caption", "masks", "video"] = "all"
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=60, ge=1, le=500)


class TrackChange(Wire):
    id: int
    iou: float | None  # mean over frames; None where only one version has it
    side: Literal["both", "a", "b"]


class ClipChange(Wire):
    key: str
    side: Literal["both", "a", "b"]
    caption: tuple[str, str] | None
    subject: tuple[str, str] | None
    video: bool
    tracks: list[TrackChange]
    other: list[str]
    strip_a: str | None
    strip_b: str | None


class DiffAnswer(Wire):
    ready: bool  # False: still comparing; ask again
    compared: int
    to_compare: int
    same: int
    counts: dict[str, int]  # by `DiffRequest.only`
    total: int  # of what was asked for
    changes: list[ClipChange]


# A new segmentation


class SegmentRequest(Wire):
    key: Key
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    track: int | None = None  # to be replaced; None: one more
    frame: int = Field(ge=0)
    box: Box | None = None  # either this
    point: tuple[int, int] | None = None  # or a click, x and y


class SegmentJob(Wire):
    job: str
    state: Literal["waiting", "running", "done", "failed", "accepted", "dismissed"]
    message: str
    key: str
    track: int | None
    iou: float | None  # with the track that it would replace
    masks: str | None  # URL of the new track's masks, in the shape of `Clip.masks`


# The user study


class StudyTask(Wire):
    task: str
    prompt: str
    subject: str | None  # URL of the subject image
    boxes: str | None  # URL of a picture of the wanted motion
    videos: list[str]  # URLs, in an order of this person's own, without names
    questions: list[str]
    done: int
    of: int


class StudyVote(Wire):
    id: EventId
    task: Name
    answers: Annotated[list[int], Field(min_length=1, max_length=10)]  # for each question the video's place, from 0


class StudyProgress(Wire):
    """The vote is on the disk when this is sent."""

    done: int  # tasks of the one who asks
    of: int


class StudyMethod(Wire):
    method: str
    votes: list[Interval]  # for each question


class StudyTally(Wire):
    questions: list[str]
    voters: int
    methods: list[StudyMethod]
