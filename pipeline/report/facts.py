"""What a report tells: read from the runs' logs, from the ledger's last words, and from dataset.json."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import plan
from pipeline.moment import Moment
from pipeline.run_log import moments, runs
from shards import ledger
from shards.dataset import read_info
from shards.storage import Storage
from shards.writer import DatasetInfo

NAMED = 200
"""Clips that were given up and are named; of more, so many."""
MOMENTS = 1000
"""Of each run that the plots are drawn from."""
TRACED = 20
"""Of them, those whose traceback is shown."""


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """A stage over all runs."""

    name: str
    answered: int
    hours: float  # that workers were taken by its records
    gpus: float  # of a worker


@dataclass(frozen=True, kw_only=True)
class PoolFacts:
    """A pool over all runs."""

    name: str
    up_hours: float
    busy_hours: float
    gpus: float  # of a worker


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why clips went no further: where, by what rule or error, and what was measured of them."""

    outcome: str  # "rejected", "failed" or "quarantined"
    stage: str
    why: str
    clips: int
    values: np.ndarray[Any, np.dtype[np.float64]]  # the measured values that are numbers
    rule: str  # the rule's settings, "" where there is none


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """A clip that failed or was quarantined."""

    video: str
    clip: str
    stage: str
    outcome: str
    error: str
    message: str
    traceback: str  # "" where it is not shown


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A dataset's build so far."""

    url: str
    info: DatasetInfo
    left: int  # planned videos in unfinished shards
    clips: int
    samples: int
    runs: tuple[tuple[Moment, ...], ...]  # of each run, in order
    stages: tuple[StageFacts, ...]
    pools: tuple[PoolFacts, ...]
    reasons: tuple[Reason, ...]  # those that stopped most clips first
    given_up: tuple[GivenUp, ...]
    num_given_up: int


def facts(storage: Storage) -> Facts:
    """Read it all. Raises ValueError where there is no dataset."""
    info = read_info(storage)
    ended = ledger.ended(storage)
    known = tuple(some for path in runs(storage) if (some := tuple(moments(storage, path, MOMENTS))))
    lost = ended.filter(pc.field("outcome").isin(list(ledger.GIVEN_UP)))
    return Facts(
        url=storage.url,
        info=info,
        left=plan.count(storage, ledger.closed(storage)),
        clips=len(ended),
        samples=pc.sum(pc.equal(ended["outcome"], "kept")).as_py() or 0,
        runs=known,
        stages=tuple(_stages(known, info.recipe)),
        pools=tuple(_pools(known, info.recipe)),
        reasons=tuple(_reasons(ended, info.recipe)),
        given_up=tuple(_given_up(storage, lost.slice(0, NAMED))),
        num_given_up=len(lost),
    )


def _stages(known: Sequence[Sequence[Moment]], recipe: Mapping[str, Any]) -> Iterator[StageFacts]:
    last = [stage for run in known for stage in run[-1].stages]
    for name in dict.fromkeys(stage["name"] for stage in last):
        own = [stage for stage in last if stage["name"] == name]
        yield StageFacts(
            name=name,
            answered=sum(stage["answered"] for stage in own),
            hours=sum(stage.get("seconds", 0.0) for stage in own) / 3600,
            gpus=_gpus(recipe, name),
        )


def _pools(known: Sequence[Sequence[Moment]], recipe: Mapping[str, Any]) -> Iterator[PoolFacts]:
    last = [pool for run in known for pool in run[-1].pools]
    for name in dict.fromkeys(pool["name"] for pool in last):
        own = [pool for pool in last if pool["name"] == name]
        yield PoolFacts(
            name=name,
            up_hours=sum(pool["up_seconds"] for pool in own) / 3600,
            busy_hours=sum(pool["busy_seconds"] for pool in own) / 3600,
            gpus=_gpus(recipe, name),
        )


def _gpus(recipe: Mapping[str, Any], stage: str) -> float:
    return float(recipe.get(stage, {}).get("needs", {}).get("gpus", 0.0))


def _reasons(ended: pa.Table, recipe: Mapping[str, Any]) -> Iterator[Reason]:
    stopped = ended.filter(pc.field("outcome") != "kept").select(["outcome", "stage", "why", "value"])
    groups = stopped.group_by(["outcome", "stage", "why"]).aggregate([("value", "list")]).to_pylist()
    for group in sorted(groups, key=lambda group: (-len(group["value_list"]), group["stage"], group["why"] or "")):
        rule = (group["why"] or "").partition(".")[0]
        settings = (recipe.get("rules") or {}).get(rule)
        yield Reason(
            outcome=group["outcome"],
            stage=group["stage"],
            why=group["why"] or "",
            clips=len(group["value_list"]),
            values=_numbers(group["value_list"]),
            rule="" if settings is None else f"{rule}: {json.dumps(settings)}",
        )


def _numbers(values: Sequence[str | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The JSON texts that are numbers."""
    found = []
    for text in values:
        try:
            found.append(float(text or ""))
        except ValueError:
            continue  # a name, or nothing
    return np.array([number for number in found if np.isfinite(number)])


def _given_up(storage: Storage, lost: pa.Table) -> Iterator[GivenUp]:
    rows = lost.to_pylist()
    traced = {row["clip"] for row in rows[:TRACED]}
    files = ledger.files(storage) if rows else {}
    tracebacks = {
        (row.clip, row.at): row.error or ""
        for shard in {row["shard"] for row in rows[:TRACED]}
        for row in ledger.read_files(storage, files.get(shard, ()))
        if row.clip in traced and row.outcome in ledger.GIVEN_UP
    }
    for row in rows:
        yield GivenUp(
            video=row["video"],
            clip=row["clip"],
            stage=row["stage"],
            outcome=row["outcome"],
            error=row["why"] or "",
            message=str(json.loads(row["value"])) if row["value"] and row["value"][:1] == '"' else row["value"] or "",
            traceback=tracebacks.get((row["clip"], row["at"]), ""),
        )
