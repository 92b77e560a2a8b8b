"""What page and server say to each other: every request and answer, and the table of the routes.

Names: `dataset` is the short name under which the server shows one dataset ("golden"), `key` a clip's. Times are
seconds, boxes x0, y0, x1, y1 in pixels, half-open. Whoever may be asked twice answers the same twice.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Column: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Key: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")]
EventId: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Box: TypeAlias = tuple[int, int, int, int]
State: TypeAlias = Literal["open", "accepted", "rejected"]
Kind: TypeAlias = Literal["samples", "stopped"]  # clips in the shards, or clips that are no samples


class Wire(BaseModel):
    """One thing that goes over the wire; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Trouble(Wire):
    """The body of every answer of 400 and above: one line, what and the mend."""

    detail: str


# Who and what is there


class SessionRequest(Wire):
    who: Name  # the reviewer's name, as it will stand in verdicts
    token: str | None = Field(default=None, max_length=200)  # where the server asks for one


class Session(Wire):
    who: str | None  # None: nobody yet; reading may be allowed all the same
    needs_token: bool  # the server wants a token before it shows anything
    suggested: str  # a name to begin with


class DatasetInfo(Wire):
    dataset: str  # name in every route
    title: str  # name in dataset.json, or the folder's
    url: str
    samples: int
    stopped: int | None  # clips that are no samples; None: still being counted
    recipe: str | None
    schema_number: int
    writable: bool  # verdicts may be given; foreign tars are only shown
    why_not: str | None  # what forbids it


class Home(Wire):
    datasets: list[DatasetInfo]  # in the order of the command line
    blind: bool  # other people's verdicts on a clip stay hidden until two people have decided it
    study: bool  # there is a user study to take part in
    version: str


# The grid: filter, sort, facets


class ColumnInfo(Wire):
    name: str  # "subject", "duration", "motion.iou"
    kind: Literal["number", "word"]
    label: str
    group: Literal["clip", "score", "review", "ending"]
    facet: bool  # worth showing from the start
    rules: list[str]  # settings of rules that ask this value: "motion.max_iou"


class Range(Wire):
    """Values within low..high, both included; `None` is open. A clip without the value is outside."""

    column: Column
    low: float | None = None
    high: float | None = None


class Choice(Wire):
    """Any of these words; "" stands for none."""

    column: Column
    values: Annotated[list[Annotated[str, StringConstraints(max_length=500)]], Field(min_length=1, max_length=500)]


class Filter(Wire):
    kind: Kind = "samples"
    text: str = Field(default="", max_length=500)  # words of caption, subject or video; all must match, by beginnings
    ranges: Annotated[list[Range], Field(max_length=50)] = []
    choices: Annotated[list[Choice], Field(max_length=50)] = []


class Query(Wire):
    filter: Filter = Filter()
    sort: Column | None = None  # a column; None: the order of the shards
    descending: bool = False
    seed: int | None = Field(default=None, ge=0, lt=2**53)  # a seeded random order, instead of `sort`
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=60, ge=1, le=500)


class Card(Wire):
    """One clip in the grid, as people decided it."""

    key: str
    subject: str
    caption: str
    state: State
    flagged: bool
    edited: bool  # subject, caption or tracks are not as in the shard
    duration: float | None  # seconds; None, as what follows, where nobody measured it: foreign tars, stopped clips
    fps: float | None
    num_frames: int | None
    width: int | None  # pixels
    height: int | None
    num_tracks: int | None
    value: float | str | None  # of the column that is sorted by
    stage: str | None  # of a stopped clip: where, by which rule, with which value
    why: str | None
    measured: str | None
    strip: str | None  # URL of the thumbnails; None where there is no picture


class Page(Wire):
    total: int  # clips that the filter lets through
    offset: int
    cards: list[Card]


class KeysRequest(Wire):
    """All keys in the order of a query, to walk through: the first `limit` behind `offset`."""

    query: Query


class Keys(Wire):
    total: int
    keys: list[str]


class FacetsRequest(Wire):
    filter: Filter = Filter()
    columns: Annotated[list[Column], Field(min_length=1, max_length=40)]
    bins: int = Field(default=40, ge=2, le=200)
    words: int = Field(default=30, ge=1, le=500)  # the most frequent ones


class Histogram(Wire):
    """Counts under the filter without this column's own part. Bin i is edges[i]..edges[i + 1]."""

    column: str
    kind: Literal["number"] = "number"
    edges: list[float]  # [bins + 1], over all clips, so that they stay while filters change; [] where no clip has it
    counts: list[int]  # [bins]
    missing: int  # clips without the value


class Word(Wire):
    word: str
    count: int


class Words(Wire):
    column: str
    kind: Literal["word"] = "word"
    words: list[Word]  # most frequent first
    others: int  # further words that are not listed


class Facets(Wire):
    total: int  # under the whole filter
    facets: list[Annotated[Histogram | Words, Field(discriminator="kind")]]


class Suggestions(Wire):
    """Subject words that begin with what was typed, those of most clips first; then those that hold it."""

    words: list[Word]  # count 0: no clip's subject, but the noun of a further track


# One clip


class TrackInfo(Wire):
    """As people decided it: `redrawn` tracks have the masks and boxes that somebody had made anew."""

    id: int
    noun: str
    dropped: bool
    redrawn: bool
    scores: dict[str, float]
    series: dict[str, list[float | None]]  # a value a frame: "confidence", and always "area" (share of the picture)
    boxes: list[Box | None]  # [T]


class ScoreInfo(Wire):
    name: str
    value: float
    rule: str | None  # setting of the rule that asks it: "size.area"
    low: float | None  # what the dataset's own rules let through
    high: float | None
    note: str | None  # what else decides: "or motion.shift above 0.05"


class Event(Wire):
    """One verdict as it stands in the log."""

    id: str
    who: str
    when: float  # seconds since 1970
    key: str
    sha256: str
    action: str
    value: int | str | None  # of a retrack the track's id
    undoes: str | None
    holds: bool  # not undone, and about the content that is there
    stale: bool  # about other content of the same key


class DecisionInfo(Wire):
    state: State
    flagged: bool
    subject: str | None  # as people gave it; None: as in the shard
    caption: str | None
    dropped_tracks: list[int]
    by: list[str]  # who gave verdicts that hold; in blind review only those one may see
    hidden: int  # verdicts of others that blind review holds back


class Clip(Wire):
    dataset: str
    key: str
    kind: Kind
    sha256: str | None  # content digest that a verdict names; None where none can be given
    mp4: str | None  # URL; playable in a browser, by a proxy where need be
    proxied: bool  # the URL's frames are re-encoded, at the same times
    codec: str | None  # of the member: "h264", "hevc"
    strip: str | None
    masks: str | None  # URL of {"size": [h, w], "tracks": [{"id": 1, "counts": [rle | null, ...]}]}, as in the shard
    redrawn: dict[int, list[str | None]]  # masks that people had made anew, by track id, to be shown instead
    width: int
    height: int
    pts: list[int]  # [T], in units of the time base; what a browser shows at `mediaTime` is the nearest entry
    time_base: tuple[int, int]  # seconds: numerator, denominator
    fps: float
    duration: float
    caption: str  # as decided
    caption_by: str
    subject: str  # as decided
    stored_caption: str
    stored_subject: str
    tracks: list[TrackInfo]
    scores: list[ScoreInfo]
    broken: list[str]  # rules that the clip breaks by the dataset's own thresholds: "size.area"
    stage: str | None  # of a stopped clip
    why: str | None
    measured: str | None
    provenance: dict[str, Any]
    shard: str | None
    decision: DecisionInfo
    history: list[Event]  # of this clip, oldest first, as far as one may see it


# Verdicts


class VerdictRequest(Wire):
    """What a person decides. The same `id` twice is one verdict, so a page may ask again when no answer came."""

    id: EventId
    key: Key
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")  # as `Clip.sha256`; other content is refused with 409
    action: Literal["accept", "reject", "flag", "skip", "drop_track", "rename_subject", "edit_caption", "undo"]
    value: int | Annotated[str, StringConstraints(max_length=4000)] | None = None  # track id, noun, caption
    undoes: EventId | None = None  # of an undo: the event that it takes back


class VerdictsRequest(Wire):
    verdicts: Annotated[list[VerdictRequest], Field(min_length=1, max_length=500)]


class VerdictsAnswer(Wire):
    """They are on the disk when this is sent."""

    events: list[Event]
    decisions: dict[str, DecisionInfo]  # by key
    undoable: str | None  # the event that an undo of this person would take back next


class Log(Wire):
    total: int
    events: list[Event]  # newest first


class Imported(Wire):
    added: int  # those that were not here yet
    of: int


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


# The routes


@dataclass(frozen=True, slots=True)
class Route:
    """One route: how it is asked, what goes in, what comes out."""

    method: Literal["GET", "POST"]
    path: str
    request: type[Wire] | None
    answer: type[Wire] | None  # None: bytes
    meaning: str


ROUTES = (
    Route("GET", "/api/session", None, Session, "who asks"),
    Route("POST", "/api/session", SessionRequest, Session, "say who asks; sets an HttpOnly cookie, needed to write"),
    Route("GET", "/api/home", None, Home, "the datasets"),
    Route("GET", "/api/{dataset}/columns", None, None, "list of ColumnInfo; ?kind=samples|stopped"),
    Route("POST", "/api/{dataset}/clips", Query, Page, "one page of the grid"),
    Route("POST", "/api/{dataset}/keys", KeysRequest, Keys, "keys of a query, to walk through (limit up to 500)"),
    Route("POST", "/api/{dataset}/facets", FacetsRequest, Facets, "linked histograms"),
    Route("GET", "/api/{dataset}/words", None, Suggestions, "?text=do&limit=20: subject words for autocomplete"),
    Route("GET", "/api/{dataset}/clips/{key}", None, Clip, "one clip; ?kind=stopped for one that is no sample"),
    Route("POST", "/api/{dataset}/verdicts", VerdictsRequest, VerdictsAnswer, "decide; durable when answered"),
    Route("GET", "/api/{dataset}/log", None, Log, "?offset=0&limit=100&who=ann: the audit log"),
    Route("GET", "/api/{dataset}/undoable", None, None, "Event | null: what this person's undo would take back"),
    Route("GET", "/api/{dataset}/verdicts.jsonl", None, None, "export"),
    Route("GET", "/api/{dataset}/verdicts.parquet", None, None, "export"),
    Route("POST", "/api/{dataset}/verdicts.jsonl", None, Imported, "import, the file as the body"),
    Route("POST", "/api/{dataset}/verdicts.parquet", None, Imported, "import, the file as the body"),
    Route("POST", "/api/{dataset}/reload", None, DatasetInfo, "read what a build added meanwhile"),
    Route("POST", "/api/{dataset}/sample", SampleRequest, QualitySample, "a QA sample and how it stands"),
    Route("GET", "/api/{dataset}/agreement", None, Agreement, "reviewers against each other"),
    Route("GET", "/api/{dataset}/rules", None, Rules, "thresholds that can be moved"),
    Route("POST", "/api/{dataset}/thresholds", ThresholdsRequest, Thresholds, "what other thresholds would keep"),
    Route("POST", "/api/{dataset}/trainer", TrainerRequest, TrainerView, "one clip as the trainer sees it"),
    Route("POST", "/api/diff", DiffRequest, DiffAnswer, "two datasets clip by clip"),
    Route("POST", "/api/{dataset}/segment", SegmentRequest, SegmentJob, "segment and track anew, in the background"),
    Route("GET", "/api/{dataset}/segment/{job}", None, SegmentJob, "how that stands"),
    Route("POST", "/api/{dataset}/segment/{job}/accept", None, SegmentJob, "take the new track; a verdict"),
    Route("GET", "/api/study", None, StudyTask, "the next task of the one who asks; 404 when all are done"),
    Route("POST", "/api/study", StudyVote, StudyProgress, "answer it; once each"),
    Route("GET", "/api/study/tally", None, StudyTally, "votes so far"),
    Route("GET", "/media/{dataset}/{key}.mp4", None, None, "the video, by byte ranges"),
    Route("GET", "/media/{dataset}/{key}.jpg", None, None, "thumbnails side by side"),
    Route("GET", "/media/{dataset}/{key}.masks.json", None, None, "all masks as run lengths"),
    Route("GET", "/media/{dataset}/stopped/{key}.mp4", None, None, "of a clip that is no sample, out of its source"),
    Route("GET", "/media/{dataset}/stopped/{key}.jpg", None, None, "its thumbnails"),
    Route("GET", "/media/{dataset}/stopped/{key}.masks.json", None, None, "masks that were found before it stopped"),
    Route("GET", "/study/{task}/{file}", None, None, "what a task shows"),
    Route("GET", "/media/{dataset}/segment/{job}.masks.json", None, None, "those of a new segmentation"),
)
