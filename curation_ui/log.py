"""The log of verdicts as the page needs it: in memory, on the disk before it is answered, blind where that is asked."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from curation_ui.table import EVERYBODY
from curation_ui.wire import DecisionInfo, Event, State, VerdictRequest
from shards import Decision, Storage, Verdict, Verdicts, decisions, verdict
from shards.verdicts import FOLDER, Redrawn, from_jsonl, not_undone

Content = Mapping[str, str]  # content digest by key, of the clips that are there

_TICK = 1e-3  # seconds between verdicts, at least
LOOK_EVERY = 2.0  # seconds from one look for what others wrote to the next


class Refused(ValueError):  # noqa: N818  the name says what is wrong
    """A verdict about what is not there, or is not as it was when it was seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one viewer sees decided of a clip."""

    decision: Decision = field(default_factory=Decision)
    flagged: bool = False
    by: tuple[str, ...] = ()
    hidden: int = 0  # verdicts that are held back

    @property
    def touched(self) -> bool:
        return self.flagged or self.decision != Decision()

    @property
    def edited(self) -> bool:
        """The clip is not as the shard has it."""
        decided = self.decision
        texts = decided.subject is not None or decided.caption is not None
        return texts or bool(decided.dropped_tracks or decided.redrawn)


class Log:
    """Every verdict about one dataset. Others may write meanwhile, here or elsewhere: `look` reads what they wrote."""

    def __init__(
        self, storage: Storage, content: Content, *, blind: bool, now: Callable[[], float] = time.time
    ) -> None:
        self.blind = blind
        self._storage, self._content, self._now = storage, content, now
        self._writer = Verdicts(storage)
        self._lock = threading.RLock()
        self._events: dict[str, Verdict] = {}
        self._of: dict[str, list[Verdict]] = defaultdict(list)  # by key, in order
        self._read: dict[str, int] = {}  # bytes that were read of each file
        self._looked = self._latest = 0.0
        self.look(force=True)

    def viewer(self, who: str | None) -> str:
        """Who it is whose view of the decisions this person has."""
        return (who or "nobody") if self.blind else EVERYBODY

    def look(self, *, force: bool = False) -> set[str]:
        """Read what others wrote since the last look; keys that it is about."""
        with self._lock:
            if not force and time.monotonic() - self._looked < LOOK_EVERY:
                return set()
            self._looked = time.monotonic()
            sizes = {path: self._storage.size(path) for path in self._storage.list(FOLDER, ".jsonl")}
            fresh = [path for path, size in sizes.items() if self._read.get(path) != size]
            read = zip(fresh, self._storage.read_many(fresh), strict=True)
            found = [event for path, data in read for event in from_jsonl(data, f"{self._storage.url}/{path}")]
            self._read = sizes
            return self._take(found)

    def add(self, who: str, asked: Sequence[VerdictRequest]) -> list[Verdict]:
        """Commit what a person decided; on return it is on the disk. What is here already is not written again."""
        with self._lock:
            made = [self._events.get(request.id) or self._made(who, request) for request in self._checked(who, asked)]
            new = [event for event in made if event.id not in self._events]
            if new:
                self._writer.append(*new)
                self._take(new)
            return made

    def take_in(self, events: Iterable[Verdict]) -> int:
        """Import; how many were not here yet."""
        with self._lock:
            new = list({event.id: event for event in events if event.id not in self._events}.values())
            if new:
                self._writer.append(*new)
                self._take(new)
            return len(new)

    def events(self) -> list[Verdict]:
        """All, oldest first."""
        with self._lock:
            return sorted(self._events.values(), key=_order)

    def judged(self) -> set[str]:
        """Keys that somebody gave a verdict on."""
        with self._lock:
            return {key for key in self._of if key in self._content}

    def of(self, key: str) -> list[Verdict]:
        """All about one clip's present content, oldest first."""
        with self._lock:
            return [event for event in self._of.get(key, ()) if event.sha256 == self._content.get(key)]

    def deciders(self, key: str) -> set[str]:
        """Who accepted or rejected a clip, and stands by it."""
        return {event.who for event in not_undone(self.of(key)) if event.action in ("accept", "reject")}

    def shown(self, key: str, who: str | None) -> list[Event]:
        """The history of a clip as far as `who` may see it, with what holds of it."""
        with self._lock:
            every = [event for event in self._of.get(key, ()) if not self._is_hidden(event, who)]
        return as_events(every, self._content)

    def seen(self, keys: Iterable[str], who: str | None) -> dict[str, Seen]:
        """What holds of these clips in the eyes of `who`."""
        keys = [key for key in keys if key in self._content]
        if not keys:
            return {}
        with self._lock:
            visible = {key: [event for event in self.of(key) if not self._is_hidden(event, who)] for key in keys}
            hidden = {key: sum(self._is_hidden(event, who) for event in self.of(key)) for key in keys}
        index = pa.table({"key": pa.array(keys, pa.string()), "sha256": [self._content[key] for key in keys]})
        decided = decisions([event for events in visible.values() for event in events], index)
        return {key: _seen(decided.get(key, Decision()), not_undone(visible[key]), hidden[key]) for key in keys}

    def undoable(self, who: str) -> Verdict | None:
        """What this person's next undo takes back: the last verdict of theirs that stands."""
        with self._lock:
            mine = sorted((event for event in self._events.values() if event.who == who), key=_order)
        standing = not_undone(mine)
        return standing[-1] if standing else None

    def visible(self, who: str | None) -> list[Verdict]:
        """The whole log as far as `who` may see it, newest first."""
        return [event for event in reversed(self.events()) if not self._is_hidden(event, who)]

    def _is_hidden(self, event: Verdict, who: str | None) -> bool:
        return self.blind and event.who != who and len(independent(self.of(event.key))[0]) < 2

    def _take(self, events: Iterable[Verdict]) -> set[str]:
        """Make events known; the keys that they are about."""
        keys = set()
        for event in events:
            if event.id not in self._events:
                self._events[event.id] = event
                self._of[event.key].append(event)
                keys.add(event.key)
        for key in keys:
            self._of[key].sort(key=_order)
        return keys

    def _checked(self, who: str, asked: Sequence[VerdictRequest]) -> Sequence[VerdictRequest]:
        """All or nothing: the first that cannot be taken refuses them all."""
        coming = {request.id: request.key for request in asked}
        for request in asked:
            there = self._events.get(request.id)
            if there is not None:
                if (there.who, there.key, there.action) != (who, request.key, request.action):
                    raise Refused(f"verdict {request.id} is another one already; give yours an id of its own")
                continue
            if request.key not in self._content:
                raise Refused(f"there is no clip {request.key}; load the page again")
            if request.sha256 != self._content[request.key]:
                raise Refused(f"clip {request.key} is not what you saw any more; look at it again")
            if request.undoes is not None:
                undone = self._events.get(request.undoes)
                if (undone.key if undone else coming.get(request.undoes)) != request.key:
                    raise Refused(f"there is no verdict {request.undoes} about clip {request.key} to undo")
        return asked

    def _made(self, who: str, request: VerdictRequest) -> Verdict:
        # What is decided later stands later, whatever the clocks of others said.
        before = (event.when for event in self._of.get(request.key, ()))
        self._latest = when = max(self._now(), self._latest + _TICK, *(moment + _TICK for moment in before))
        return verdict(
            who,
            request.key,
            request.sha256,
            request.action,
            request.value,
            undoes=request.undoes,
            now=lambda: when,
            new_id=lambda: request.id,
        )


def independent(history: Sequence[Verdict]) -> tuple[dict[str, bool], int]:
    """What the first two reviewers of a clip decided before either could see the other, name -> accepted; and how many
    events it took.

    One name, or none, where it has not come to two. What anybody decides afterwards settles, and is not counted here.
    """
    stood = dict[str, bool]()
    for end in range(1, len(history) + 1):
        stood = {e.who: e.action == "accept" for e in not_undone(history[:end]) if e.action in ("accept", "reject")}
        if len(stood) >= 2:
            return stood, end
    return stood, len(history)


def as_events(events: Sequence[Verdict], content: Content) -> list[Event]:
    """For the wire, in the order given (rising)."""
    standing = {event.id for event in not_undone(events)}
    return [_event(event, standing, content) for event in events]


def decision_info(seen: Seen, state: State) -> DecisionInfo:
    """For the wire."""
    decision = seen.decision
    return DecisionInfo(
        state=state,
        flagged=seen.flagged,
        subject=decision.subject,
        caption=decision.caption,
        dropped_tracks=sorted(decision.dropped_tracks),
        by=list(seen.by),
        hidden=seen.hidden,
    )


def _event(event: Verdict, standing: set[str], content: Content) -> Event:
    stale = content.get(event.key) != event.sha256
    said = asdict(event)
    if event.action == "retrack":  # its masks are many and stand in the clip
        said["value"] = Redrawn.of_text(str(event.value)).id
    return Event(**said, holds=event.id in standing and not stale, stale=stale)


def _seen(decision: Decision, standing: Sequence[Verdict], hidden: int) -> Seen:
    """A flag stands until somebody accepts or rejects the clip after it."""
    marks = [event.action == "flag" for event in standing if event.action in ("flag", "accept", "reject")]
    by = tuple(sorted({event.who for event in standing}))
    return Seen(decision=decision, flagged=bool(marks) and marks[-1], by=by, hidden=hidden)


def _order(event: Verdict) -> tuple[float, str]:
    return event.when, event.id
