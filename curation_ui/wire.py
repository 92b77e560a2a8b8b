"""What page and server say to each other about datasets, clips and verdicts; `tool_wire` has what tools say besides.

Names: `dataset` is the short name under which the server shows one dataset ("golden"), `key` a clip's. Times are
seconds, boxes x0, y0, x1, y1 in pixels, half-open. Whoever may be asked twice answers the same twice.
"""

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
