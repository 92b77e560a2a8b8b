"""`build` and `refilter` from first to last: the lock, the plan, the run, the summary."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

from pipeline import plan
from pipeline.build import NOBODY, Build, Watch
from pipeline.line import Line
from pipeline.recipe import Recipe, differences, override, recipe_of
from pipeline.runners import Runner
from pipeline.sources import parse_source
from pipeline.stages.packer import Packer
from shards import ledger
from shards.dataset import read_info
from shards.storage import Storage
from shards.writer import INFO, DatasetInfo, write_info


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Where every clip of a dataset went: `clips == samples + rejected + failed`, once the build is finished.

    A video that gave no clip counts as one clip, rejected or failed at the stage that refused it.
    """

    finished: bool
    clips: int
    samples: int
    rejected: dict[str, int] = field(default_factory=dict)  # "stage: why" -> clips
    failed: dict[str, int] = field(default_factory=dict)  # "stage: error" -> clips
    changed: tuple[str, ...] = ()  # planned videos of which the source now says something else


def build(
    source: str,
    url: str,
    recipe: Recipe,
    runner: Runner,
    *,
    limit: int | None = None,
    who: str = "dreamreel build",
    watch: Watch = NOBODY,
) -> Summary:
    """Annotate the videos of `source` into the dataset at `url`; started again, it goes on where it was.

    Raises ValueError: a bad source, a dataset that was built by another recipe, a dataset that somebody else writes.
    """
    entries = list(parse_source(source).videos())
    storage = Storage.at(url)
    line = Line(recipe.stages(storage.url))
    with storage.lock(who):
        info = _open(storage, DatasetInfo(**_described(storage, recipe, line), source=source))
        changed = plan.extend(storage, entries, recipe.shards.videos, limit)
        with runner([*line.stages, Packer()]) as pool:
            work = Build(storage, info.name, recipe, line, pool, watch=watch)
            summary = _worked(storage, work, watch)
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
    "needs a model run". Raises ValueError where `assignments` change anything but rules.
    """
    parent, storage = Storage.at(url), Storage.at(out)
    before = read_info(parent)
    if not ledger.plan_files(parent):
        raise ValueError(f"{url} has no ledger, so nothing was measured there; refilter the dataset it came from")
    recipe = override(recipe_of(before.recipe), assignments)
    other = [line for line in differences(before.recipe, recipe.settings()) if not line.startswith("rules.")]
    if other:
        raise ValueError(f"refilter changes rules only, not {other[0]}; use build for a new dataset")
    line = Line(recipe.stages(storage.url, donors=(parent.url,)))
    with storage.lock(who):
        lineage = {"name": before.name, "url": parent.url, "refilter": list(assignments)}
        fresh = DatasetInfo(**_described(storage, recipe, line), source=before.source, parent=lineage)
        info = _open(storage, fresh)
        if not ledger.plan_files(storage):
            ledger.append_plan(storage, _entries(parent))
        with runner([*line.stages, Packer()]) as pool:
            work = Build(storage, info.name, recipe, line, pool, watch=watch, donors=[parent], models_run=False)
            return _worked(storage, work, watch)


def _worked(storage: Storage, work: Build, watch: Watch) -> Summary:
    watch.planned(plan.count(storage, without=ledger.closed(storage)))
    finished = work.run()
    return replace(summarise(storage), finished=finished)


def summarise(storage: Storage) -> Summary:
    """Count where every clip went, by the ledger's last word on it."""
    endings = ledger.endings(storage).values()

    def reasons(outcome: str) -> dict[str, int]:
        return dict(Counter(f"{end.stage}: {end.why}" for end in endings if end.outcome == outcome).most_common())

    return Summary(
        finished=True,
        clips=len(endings),
        samples=sum(end.outcome == "kept" for end in endings),
        rejected=reasons("rejected"),
        failed=reasons("failed"),
    )


def _described(storage: Storage, recipe: Recipe, line: Line) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "-", storage.url.rstrip("/").rsplit("/", 1)[-1].lower()).strip("-") or "clips"
    return {"name": name, "recipe": recipe.settings(), "models": line.models, "code": version("dreamreel")}


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
            "build a new dataset, or change rules with `dreamreel refilter`"
        )
    return info


def _entries(parent: Storage) -> list[tuple[int, str, str]]:
    table = ledger.read_plan(parent)
    return list(zip(*(table[name].to_pylist() for name in ("shard", "video", "record")), strict=True))


def as_json(summary: Summary) -> str:
    return json.dumps(asdict(summary), indent=1)


def as_text(summary: Summary) -> str:
    """The summary for people: a line of totals, then a line for each reason."""
    stopped = {"rejected": summary.rejected, "failed": summary.failed}
    totals = ", ".join(f"{sum(reasons.values())} {name}" for name, reasons in stopped.items())
    lines = [f"{summary.clips} clips = {summary.samples} samples, {totals}"]
    for name, reasons in stopped.items():
        lines += [f"  {count:>7} {name} at {why}" for why, count in reasons.items()]
    if summary.changed:
        names = ", ".join(summary.changed[:3])
        lines.append(f"note: {len(summary.changed)} videos changed in the source since they were planned ({names});")
        lines.append("  the plan's word holds; build a new dataset to take the changes up")
    return "\n".join(lines)
