"""`build` and `refilter` from first to last: the lock, the plan, the run, the summary."""

import json
import re
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline import plan
from pipeline.build import NOBODY, Build, Watch
from pipeline.donors import Donor, ancestors, donors_of_build, lineage
from pipeline.journal import Journal
from pipeline.line import Line
from pipeline.metrics import served
from pipeline.needs import require, restricted
from pipeline.recipe import Recipe, differences, override, recipe_of
from pipeline.run_log import Recorder, RunLog
from pipeline.runners import Runner
from pipeline.sources import parse_source
from pipeline.sources.folder import Folder
from pipeline.stages.packer import Packer
from shards import ledger
from shards.dataset import read_info
from shards.storage import Storage
from shards.writer import INFO, DatasetInfo, write_info


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Where every clip of a dataset went, once the build is finished: into samples, rejected, failed or quarantined.

    A video that gave no clip counts as one clip, rejected or failed at the stage that refused it.
    """

    finished: bool
    clips: int
    samples: int
    rejected: dict[str, int] = field(default_factory=dict)  # "stage: why" -> clips
    failed: dict[str, int] = field(default_factory=dict)  # "stage: error" -> clips
    quarantined: dict[str, int] = field(default_factory=dict)  # "stage: error" -> clips
    changed: tuple[str, ...] = ()  # planned videos of which the source now says something else
    waiting: int = 0  # refilter: videos that the parent has not decided yet


def build(
    source: str,
    url: str,
    recipe: Recipe,
    runner: Runner,
    *,
    limit: int | None = None,
    only: Collection[str] | None = None,
    retry: Collection[str] = (),
    donor: str | None = None,
    metrics: str | None = None,
    who: str = "dreamreel build",
    watch: Watch = NOBODY,
) -> Summary:
    """Annotate the videos of `source` into the dataset at `url`; started again, it goes on where it was.

    `limit` plans the first so many videos only, in an order that mixes the whole source; `only` those of these ids.
    `retry` tries clips again that ended with one of these outcomes of `ledger.GIVEN_UP`; failed ones of an unfinished
    shard are always. `donor` is the dataset whose plan is kept and whose answers count as far as their settings do; a
    dataset that began with one goes on with it.
    `metrics` serves Prometheus at "PORT" or "HOST:PORT" meanwhile.
    Raises ValueError: a bad source, a dataset that was built by another recipe, a dataset that somebody else writes,
    a dataset inside the source folder, a recipe whose weights are not on this machine or not those published.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a limit of {limit} leaves no video; give at least 1")
    require(recipe)
    storage = Storage.at(url)
    _check_apart(source, storage)
    entries = plan.said(entry for entry in parse_source(source).videos() if only is None or entry.id in only)
    began = lineage(storage, donor, recipe)
    donors = donors_of_build(began)
    line = Line(recipe.stages(storage.url, donors=tuple(donor.storage.url for donor in donors)))
    with storage.lock(who):
        if donors:
            plan.inherit(storage, donors[0].storage, entries, limit)
        fresh = DatasetInfo(**_described(storage, recipe, line), source=source, parent=began)
        info = _open(storage, fresh)
        changed = plan.extend(storage, entries, recipe.shards.videos, limit)
        del entries  # large, and of no use any more
        plan.retry(storage, retry, recipe.shards.videos)
        with runner([*line.stages, Packer()]) as workers:
            recorder = Recorder(RunLog(storage), workers, watch)
            journal = Journal(storage, donors)
            work = Build(storage, info.name, recipe, line, workers, journal, retry=retry, watch=recorder.watch)
            with served(metrics, lambda: recorder.last) if metrics is not None else nullcontext():
                summary = _worked(storage, work, recorder)
    return replace(summary, changed=tuple(changed))


def refilter(
    url: str,
    out: str,
    assignments: Sequence[str],
    runner: Runner,
    *,
    who: str = "dreamreel refilter",
    watch: Watch = NOBODY,
) -> Summary:
    """A new version of the dataset at `url` under other rules, from what its ledger measured; no model runs.

    A clip that other rules would let through, but that was stopped before a model saw it, is rejected as
    "needs a model run". Of a parent that is still being built it takes the shards up to the first unfinished one;
    the same call takes the others later. Raises ValueError where `assignments` change anything but rules.
    """
    parent, storage = Storage.at(url), Storage.at(out)
    before = read_info(parent)
    if not ledger.plan_files(parent):
        raise ValueError(f"{url} has no ledger, so nothing was measured there; refilter the dataset it came from")
    if storage.url == parent.url:
        raise ValueError(f"{out} is the dataset itself; name another place for its new version")
    recipe = override(recipe_of(before.recipe), assignments)
    other = [line for line in differences(before.recipe, recipe.settings()) if not line.startswith("rules.")]
    if other:
        raise ValueError(f"refilter changes rules only, not {other[0]}; use build for a new dataset")
    donors = [Donor(storage=donor) for donor in (parent, *ancestors(before))]
    line = Line(recipe.stages(storage.url, donors=tuple(donor.storage.url for donor in donors)))
    with storage.lock(who):
        came = {"name": before.name, "url": parent.url, "refilter": list(assignments)}
        fresh = DatasetInfo(**_described(storage, recipe, line), source=before.source, parent=came)
        info = _open(storage, fresh)
        if info.parent is None or info.parent["name"] != before.name:
            raise ValueError(f"{out} holds a dataset that was not refiltered from {url}; name another place")
        waiting = plan.follow(storage, parent)
        with runner([*line.stages, Packer()]) as workers:
            journal = Journal(storage, donors)
            recorder = Recorder(RunLog(storage), workers, watch)
            work = Build(storage, info.name, recipe, line, workers, journal, models_run=False, watch=recorder.watch)
            summary = _worked(storage, work, recorder)
    return replace(summary, waiting=waiting)


def _check_apart(source: str, storage: Storage) -> None:
    """A folder source takes every video below it, and a dataset that is built holds some."""
    place = Storage.at(source) if isinstance(parse_source(source), Folder) else None
    if place and storage.is_local and place.is_local:
        folder, dataset = Path(place.url).resolve(), Path(storage.url).resolve()
        if dataset.is_relative_to(folder):
            raise ValueError(
                f"{storage.url} lies inside the source {place.url}, so its clips would be taken for videos; "
                "choose a place outside"
            )


def _worked(storage: Storage, work: Build, recorder: Recorder) -> Summary:
    recorder.watch.planned(plan.count(storage, ledger.closed(storage)))
    finished = work.run()
    recorder.end(finished=finished)
    return replace(summarise(storage), finished=finished)


def summarise(storage: Storage) -> Summary:
    """Count where every clip went, by the ledger's last word on it."""
    ended = ledger.ended(storage).select(["outcome", "stage", "why"])
    counts = ended.group_by(ended.column_names).aggregate([([], "count_all")])
    rows = sorted(counts.to_pylist(), key=lambda row: (-row["count_all"], row["stage"], row["why"] or ""))

    def reasons(outcome: str) -> dict[str, int]:
        return {f"{row['stage']}: {row['why']}": row["count_all"] for row in rows if row["outcome"] == outcome}

    return Summary(
        finished=True,
        clips=len(ended),
        samples=sum(reasons("kept").values()),
        rejected=reasons("rejected"),
        failed=reasons("failed"),
        quarantined=reasons("quarantined"),
    )


def _described(storage: Storage, recipe: Recipe, line: Line) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "-", storage.url.rstrip("/").rsplit("/", 1)[-1].lower()).strip("-") or "clips"
    terms = {"not for commercial use": found} if (found := restricted(recipe)) else {}
    return {"name": name, "recipe": recipe.settings(), "models": line.models | terms, "code": version("dreamreel")}


def _open(storage: Storage, fresh: DatasetInfo) -> DatasetInfo:
    """The dataset's own description; written now for a new one, compared for one that exists."""
    if not storage.exists(INFO):
        write_info(storage, fresh)
        return fresh
    info = read_info(storage)
    changed = differences(info.recipe, fresh.recipe) + differences(info.models, fresh.models, "models.")
    if changed:
        raise ValueError(
            f"{storage.url} was built with other settings ({'; '.join(changed[:3])}): "
            "build a new dataset (--from takes over what is still valid), or change rules with `dreamreel refilter`"
        )
    return info


def as_json(summary: Summary) -> str:
    return json.dumps(asdict(summary), indent=1)


def as_text(summary: Summary) -> str:
    """The summary for people: a line of totals, then a line for each reason."""
    stopped = {"rejected": summary.rejected, "failed": summary.failed}
    if summary.quarantined:
        stopped["quarantined"] = summary.quarantined
    totals = ", ".join(f"{sum(reasons.values())} {name}" for name, reasons in stopped.items())
    lines = [f"{summary.clips} clips = {summary.samples} samples, {totals}"]
    for name, reasons in stopped.items():
        lines += [f"  {count:>7} {name} at {why}" for why, count in reasons.items()]
    if summary.changed:
        names = ", ".join(summary.changed[:3])
        lines.append(f"note: {len(summary.changed)} videos changed in the source since they were planned ({names});")
        lines.append("  the plan's word holds; build a new dataset to take the changes up")
    if summary.waiting:
        lines.append(f"note: {summary.waiting} videos are not decided in the parent yet; run again when they are")
    return "\n".join(lines)
