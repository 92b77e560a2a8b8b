"""Two reviewers against each other, over the clips that both decided before either could see the other's verdict."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from curation_ui.intervals import alpha, kappa
from curation_ui.log import Log, independent
from curation_ui.shown import Shown
from curation_ui.tool_wire import Agreement, Disagreement, Pair, Reviewer
from curation_ui.wire import State
from shards import Verdict
from shards.verdicts import not_undone


@dataclass(frozen=True, kw_only=True, slots=True)
class Twice:
    """What two people decided of a clip, and who settled it afterwards where they differ."""

    key: str
    accepted: Mapping[str, bool]  # by reviewer
    settled: Verdict | None

    @property
    def agree(self) -> bool:
        return len(set(self.accepted.values())) == 1


def agreement(shown: Shown, log: Log) -> Agreement:
    """Over the whole log."""
    twice = [found for key in sorted(log.judged()) if (found := _twice(key, log.of(key))) is not None]
    differing = sorted((one for one in twice if not one.agree), key=lambda one: (one.settled is not None, one.key))
    names = sorted({name for one in twice for name in one.accepted})
    return Agreement(
        reviewers=_reviewers(log),
        pairs=[pair for a, b in combinations(names, 2) if (pair := _pair(a, b, twice)) is not None],
        alpha=alpha([list(one.accepted.values()) for one in twice]),
        twice=len(twice),
        queue=_queue(shown, differing),
        open=sum(one.settled is None for one in differing),
    )


def _twice(key: str, history: Sequence[Verdict]) -> Twice | None:
    """None where it has not come to two people."""
    stood, end = independent(history)
    if len(stood) < 2:
        return None
    after = {event.id for event in history[end:]}
    later = [e for e in not_undone(history) if e.id in after and e.action in ("accept", "reject")]
    return Twice(key=key, accepted=stood, settled=later[-1] if later else None)


def _reviewers(log: Log) -> list[Reviewer]:
    decided = defaultdict[str, Counter[str]](Counter)
    for key in log.judged():
        mine = {e.who: e.action for e in not_undone(log.of(key)) if e.action in ("accept", "reject")}
        for who, action in mine.items():
            decided[who][action] += 1
    return [
        Reviewer(who=who, decided=sum(counts.values()), rejected=counts["reject"])
        for who, counts in sorted(decided.items())
    ]


def _pair(a: str, b: str, twice: Sequence[Twice]) -> Pair | None:
    both = [(one.accepted[a], one.accepted[b]) for one in twice if {a, b} == set(one.accepted)]
    if not both:
        return None
    counts = Counter(both)
    table = counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    return Pair(a=a, b=b, clips=len(both), agree=table[0] + table[3], table=table, kappa=kappa(table))


def _queue(shown: Shown, differing: Sequence[Twice]) -> list[Disagreement]:
    cards = shown.cards("samples", [shown.holdings.row_of(one.key) for one in differing], None)
    return [
        Disagreement(
            key=one.key,
            subject=card.subject,
            caption=card.caption,
            strip=card.strip,
            decided={who: "accepted" if accepted else "rejected" for who, accepted in one.accepted.items()},
            settled_by=one.settled.who if one.settled else None,
            settled_as=_state(one.settled),
        )
        for one, card in zip(differing, cards, strict=True)
    ]


def _state(settled: Verdict | None) -> State | None:
    if settled is None:
        return None
    return "accepted" if settled.action == "accept" else "rejected"
