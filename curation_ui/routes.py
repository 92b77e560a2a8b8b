"""The table of the routes: how each is asked, what goes in, what comes out. A test holds the server to it."""

from dataclasses import dataclass
from typing import Literal

from curation_ui.tool_wire import (
    Agreement,
    DiffAnswer,
    DiffRequest,
    QualitySample,
    Rules,
    SampleRequest,
    SegmentJob,
    SegmentRequest,
    StudyProgress,
    StudyTally,
    StudyTask,
    StudyVote,
    Thresholds,
    ThresholdsRequest,
    TrainerRequest,
    TrainerView,
)
from curation_ui.wire import (
    Clip,
    DatasetInfo,
    Facets,
    FacetsRequest,
    Home,
    Imported,
    Keys,
    KeysRequest,
    Log,
    Page,
    Query,
    Session,
    SessionRequest,
    Suggestions,
    VerdictsAnswer,
    VerdictsRequest,
    Wire,
)


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
