"""What people decided about samples: events, only ever added, that lie over shards that never change."""

import io
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Self, TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq

from shards.entry import canonical_json
from shards.rle import Rle
from shards.storage import Storage

FOLDER = "verdicts"

Action: TypeAlias = Literal[
    "accept", "reject", "flag", "skip", "drop_track", "retrack", "rename_subject", "edit_caption", "undo"
]
_VALUE: Mapping[str, type | None] = {
    "accept": None,
    "reject": None,
    "flag": None,  # to be looked at again; decides nothing
    "skip": None,  # seen, not decided
    "drop_track": int,  # track id
    "retrack": str,  # a `Redrawn` as text
    "rename_subject": str,  # noun
    "edit_caption": str,  # text
    "undo": None,  # `undoes` names the event
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Redrawn:
    """A track that was segmented anew at somebody's request, in the place of the one with its id, or one more."""

    id: int  # >= 1
    noun: str  # of one more; a track that is replaced keeps its own
    masks: tuple[Rle | None, ...]  # [T]

    def to_text(self) -> str:
        """As the value of a verdict."""
        return canonical_json(asdict(self)).decode()

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Raises `ValueError` where it is none."""
        said = json.loads(text)
        if not isinstance(said, dict) or said.keys() != {"id", "noun", "masks"} or not isinstance(said["masks"], list):
            raise ValueError("a track drawn anew says id, noun and masks")
        id_, noun, masks = said["id"], said["noun"], tuple(said["masks"])
        if type(id_) is not int or id_ < 1 or type(noun) is not str or any(type(m) not in (str, _NONE) for m in masks):
            raise ValueError("a track drawn anew has an id from 1 on, a noun, and run lengths or null for each frame")
        return cls(id=id_, noun=noun, masks=masks)


_NONE = type(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one person decided about one sample as it was (`sha256`). Raises `ValueError` where it is none."""

    id: str
    who: str
    when: float  # seconds since 1970
    key: str  # of the sample
    sha256: str  # content digest of the sample that was seen
    action: Action
    value: int | str | None = None
    undoes: str | None = None  # id of an earlier verdict, for "undo"

    def __post_init__(self) -> None:
        if self.action not in _VALUE:
            raise ValueError(f"verdict {self.id}: no action {self.action!r}; there are {', '.join(_VALUE)}")
        wanted = _VALUE[self.action]
        if (type(self.value) is not wanted) if wanted else (self.value is not None):
            needs = f"a value of type {wanted.__name__}" if wanted else "no value"
            raise ValueError(f"verdict {self.id}: {self.action} takes {needs}, not {self.value!r}")
        if (self.undoes is not None) != (self.action == "undo"):
            raise ValueError(f"verdict {self.id}: `undoes` names the event that an undo takes back, and only there")
        if self.action == "retrack":
            Redrawn.of_text(cast(str, self.value))


def verdict(
    who: str,
    key: str,
    sha256: str,
    action: Action,
    value: int | str | None = None,
    *,
    undoes: str | None = None,
    now: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: secrets.token_hex(8),
) -> Verdict:
    """A new verdict, made now."""
    return Verdict(id=new_id(), who=who, when=now(), key=key, sha256=sha256, action=action, value=value, undoes=undoes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What holds of a sample after all verdicts."""

    accepted: bool | None = None  # None: not decided
    subject: str | None = None  # None: as it is in the shard
    caption: str | None = None
    dropped_tracks: frozenset[int] = frozenset()
    dropped_before: frozenset[int] = frozenset()  # when `subject` was given: it names the first track but these
    redrawn: tuple[Redrawn, ...] = ()  # by id, rising


class Verdicts:
    """The verdicts of a dataset. Each of these objects appends to a file of its own: any number may write."""

    def __init__(
        self,
        storage: Storage,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._storage = storage
        self._now, self._new_id = now, new_id
        self._path: str | None = None

    def append(self, *verdicts: Verdict) -> None:
        """Add verdicts; on return they have reached the disk. An object store gets one object a call."""
        lines = to_jsonl(verdicts)
        path = self._path
        self._path = None  # where this append fails, its half line stays the last of its file
        if path is None:
            path = self._new_path()
            self._storage.write(path, lines)
        else:
            self._storage.append(path, lines)
        self._path = path if self._storage.is_local else None

    def events(self) -> list[Verdict]:
        """Every verdict of everyone, in the order they were made; a line torn by a crash is left out."""
        paths = self._storage.list(FOLDER, ".jsonl")
        files = zip(paths, self._storage.read_many(paths), strict=True)
        found = {v.id: v for path, data in files for v in from_jsonl(data, path)}
        return sorted(found.values(), key=lambda v: (v.when, v.id))

    def add(self, verdicts: Iterable[Verdict]) -> int:
        """Append those that are not here yet (an import may be repeated); returns how many that were."""
        here = {v.id for v in self.events()}
        new = [v for v in verdicts if v.id not in here]
        if new:
            self.append(*new)
        return len(new)

    def _new_path(self) -> str:
        when = datetime.fromtimestamp(self._now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return f"{FOLDER}/{when}-{self._new_id()}.jsonl"


def decisions(events: Iterable[Verdict], index: pa.Table) -> dict[str, Decision]:
    """What holds of each sample that was judged as it is now in `index` (columns key and sha256), by key.

    The last of several verdicts about the same thing holds, whoever gave it. An undo takes one verdict back;
    it can be undone itself. A verdict about other content of the same key is void. A given subject names the
    track that was the subject's when it was given, and no other that becomes so by what is dropped later.
    """
    content = dict(zip(index["key"].to_pylist(), index["sha256"].to_pylist(), strict=True))
    ordered = sorted(events, key=lambda v: (v.when, v.id))
    history = defaultdict[str, list[Verdict]](list)
    for event in ordered:
        history[event.key].append(event)
    decided: dict[str, Decision] = {}
    for event in not_undone(ordered):
        if content.get(event.key) == event.sha256:
            decided[event.key] = _after(decided.get(event.key, Decision()), event, history[event.key])
    return decided


def not_undone(events: Sequence[Verdict]) -> list[Verdict]:
    """Of events in their order, what was not undone, and no undo; read from the end, because an undo may be undone."""
    undone: set[str | None] = set()
    kept = []
    for event in reversed(events):
        if event.id not in undone:
            (undone.add(event.undoes) if event.action == "undo" else kept.append(event))
    return kept[::-1]


def to_jsonl(events: Iterable[Verdict]) -> bytes:
    """One verdict a line."""
    return b"".join(canonical_json(asdict(event)) + b"\n" for event in events)


def from_jsonl(data: bytes, where: str = "the file") -> list[Verdict]:
    """Verdicts of `to_jsonl`, but a last line without end. Raises `ValueError` for a line that is none."""
    *lines, _torn = data.split(b"\n")
    events = []
    for number, line in enumerate(lines, 1):
        try:
            events.append(Verdict(**json.loads(line)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}, line {number} is not a verdict: {error}; take the line out") from None
    return events


_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("who", pa.string()),
        ("when", pa.float64()),
        ("key", pa.string()),
        ("sha256", pa.string()),
        ("action", pa.string()),
        ("value", pa.string()),  # as JSON
        ("undoes", pa.string()),
    ]
)


def to_parquet(events: Iterable[Verdict]) -> bytes:
    """One verdict a row; `value` as JSON."""
    rows = [{**asdict(v), "value": None if v.value is None else json.dumps(v.value)} for v in events]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes, where: str = "the file") -> list[Verdict]:
    """Verdicts of `to_parquet`; raises `ValueError` for what is none."""
    try:
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
        return [Verdict(**{**r, "value": None if r["value"] is None else json.loads(r["value"])}) for r in rows]
    except (pa.ArrowInvalid, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{where} does not hold verdicts: {error}; export it again") from None


def _after(decision: Decision, event: Verdict, history: Sequence[Verdict]) -> Decision:
    """`decision` and then `event`; `history` holds all events of the sample in order, undone ones too."""
    match event.action:
        case "accept" | "reject":
            return replace(decision, accepted=event.action == "accept")
        case "drop_track":
            return replace(decision, dropped_tracks=decision.dropped_tracks | {cast(int, event.value)})
        case "retrack":
            drawn = Redrawn.of_text(cast(str, event.value))
            every = {**{one.id: one for one in decision.redrawn}, drawn.id: drawn}
            return replace(decision, redrawn=tuple(every[id_] for id_ in sorted(every)))
        case "rename_subject":
            before = _dropped_before(event, history)
            return replace(decision, subject=cast(str, event.value), dropped_before=before)
        case "edit_caption":
            return replace(decision, caption=cast(str, event.value))
    return decision


def _dropped_before(event: Verdict, history: Sequence[Verdict]) -> frozenset[int]:
    """The tracks that were dropped when `event` was made, whatever was undone since."""
    then = not_undone([v for v in history if (v.when, v.id) < (event.when, event.id)])
    return frozenset(cast(int, v.value) for v in then if v.action == "drop_track" and v.sha256 == event.sha256)
