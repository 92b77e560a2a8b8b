"""A sample to judge a dataset by: seeded, spread over strata, with the share that people rejected of it."""

import functools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from curation_ui.intervals import interval
from curation_ui.shown import Shown
from curation_ui.tool_wire import QualitySample, SampleRequest, Stratum
from shards.select import rank, shuffled

STORED = "as in the shards"
"""A viewer without decisions: which clips are drawn must not change with what is decided of them."""


def quality(shown: Shown, request: SampleRequest, who: str | None) -> QualitySample:
    """The sample and how its review stands in the eyes of `who`. Raises `ValueError` for clips that are no samples."""
    if request.filter.kind != "samples":
        raise ValueError("a sample for review is drawn of samples; clips that stopped are none")
    if shown.log is None:
        raise ValueError(str(shown.holdings.why_not))
    drawn, clips = _sample(shown, request.model_dump_json())
    seen = shown.log.seen([key for key, _ in drawn], who)
    states = shown.states(seen)
    strata = defaultdict[str, list[str]](list)
    for key, stratum in drawn:
        strata[stratum].append(key)
    parts = [_stratum(name, clips[name], keys, states) for name, keys in sorted(strata.items())]
    every = [states.get(key, "open") for key, _ in drawn]
    corrected = sum(state == "rejected" or (state == "accepted" and seen[key].edited) for key, state in states.items())
    decided = sum(state != "open" for state in every)
    return QualitySample(
        keys=[key for key, _ in drawn],
        decided=[who in shown.log.deciders(key) for key, _ in drawn],
        rejected=interval(every.count("rejected"), decided),
        corrected=interval(corrected, decided),
        weighted=_weighted(parts),
        strata=parts,
    )


def systematic(rows: Sequence[tuple[bytes, str]], size: int, start: float) -> list[int]:
    """Numbers of `size` of `rows` (rank, stratum), each with the same chance, each stratum with its share.

    The rows are laid in the order of strata, ranks within; every N/size-th is taken from `start` (0 to 1) of the first
    step on. So a stratum gets its share rounded up or down, however many strata there are.
    """
    order = sorted(range(len(rows)), key=lambda number: (rows[number][1], rows[number][0]))
    step = len(rows) / min(size, len(rows)) if rows else 1.0
    return [order[int((number + start) * step)] for number in range(min(size, len(rows)))]


@functools.lru_cache(maxsize=16)
def _sample(shown: Shown, said: str) -> tuple[list[tuple[str, str]], Mapping[str, int]]:
    """Keys with their strata, in the order of review; and how many clips each stratum has."""
    request = SampleRequest.model_validate_json(said)
    rows = shown.samples.strata(request.by, request.filter, STORED, shown.stored_search(request.filter.text))
    keys = shown.keys_of([row for row, _ in rows])
    ranked = [(rank(request.seed, key), stratum) for key, (_, stratum) in zip(keys, rows, strict=True)]
    start = int.from_bytes(rank(request.seed, "start")[:6], "big") / 2**48
    chosen = systematic(ranked, request.size, start)
    mixed = shuffled([keys[number] for number in chosen], request.seed)
    drawn = [(keys[chosen[place]], ranked[chosen[place]][1]) for place in mixed]
    return drawn, Counter(stratum for _, stratum in ranked)


def _stratum(name: str, clips: int, keys: Sequence[str], states: Mapping[str, str]) -> Stratum:
    decided = [states[key] for key in keys if states[key] != "open"]
    return Stratum(
        name=name, clips=clips, sampled=len(keys), rejected=interval(decided.count("rejected"), len(decided))
    )


def _weighted(strata: Sequence[Stratum]) -> float | None:
    shares = [(stratum.clips, stratum.rejected.share) for stratum in strata]
    if not shares or any(share is None for _, share in shares):
        return None
    return sum(clips * (share or 0.0) for clips, share in shares) / sum(clips for clips, _ in shares)
