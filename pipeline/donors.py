"""Older datasets whose answers a new one takes over where they are still valid: which, and whether they fit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import plan
from pipeline.recipe import Recipe, differences
from shards import ledger
from shards.dataset import read_info
from shards.storage import Missing, Storage
from shards.writer import INFO, DatasetInfo

NOT_ASKED = "needs a model run"
"""Why `refilter` rejects what no model was asked about: no answer for a build, which may ask."""


@dataclass(frozen=True, kw_only=True)
class Donor:
    """A dataset of the same plan, whose rows count where the stage key is the same."""

    storage: Storage
    again: Mapping[int, Sequence[int]] = field(
        default_factory=dict
    )  # shard -> those in which its clips were tried again

    def read(self, shard: int) -> list[ledger.Row]:
        """What is known there of a planned shard's clips, but for what is no answer."""
        rows = [row for number in (shard, *self.again.get(shard, ())) for row in self._read(number)]
        return [row for row in rows if row.outcome not in ledger.GIVEN_UP and row.why != NOT_ASKED]

    def _read(self, shard: int) -> list[ledger.Row]:
        try:
            return ledger.read(self.storage, shard)
        except Missing:  # somebody builds there, and closed the shard since the listing
            return ledger.read(self.storage, shard)


def lineage(storage: Storage, donor: str | None, recipe: Recipe) -> dict[str, Any] | None:
    """What `dataset.json` says of the dataset that this one began with, or is to begin with; None where with none.

    Raises ValueError where it began otherwise, and where it cannot begin with `donor`.
    """
    if storage.exists(INFO):
        began = read_info(storage).parent
        if donor is not None and (began is None or began.get("url") != Storage.at(donor).url):
            raise ValueError(f"{storage.url} was not begun from {donor}; name another place for the new dataset")
        return dict(began) if began is not None and "build" in began else None
    return None if donor is None else _begun(Storage.at(donor), recipe)


def _begun(parent: Storage, recipe: Recipe) -> dict[str, Any]:
    before = read_info(parent)
    if not ledger.plan_files(parent):
        raise ValueError(f"{parent.url} has no ledger, so nothing can be taken over; name the dataset it came from")
    videos = before.recipe["shards"]["videos"]
    if videos != recipe.shards.videos:
        raise ValueError(f"{parent.url} has {videos} videos a shard, and its plan is kept: set shards.videos={videos}")
    return {"name": before.name, "url": parent.url, "build": differences(before.recipe, recipe.settings())}


def donors_of_build(began: Mapping[str, Any] | None) -> list[Donor]:
    """The dataset that a build began with and those before it, nearest first, as far as they are still there."""
    if began is None or not (parent := Storage.at(began["url"])).exists(INFO):
        return []
    return [Donor(storage=storage, again=plan.again(storage)) for storage in (parent, *ancestors(read_info(parent)))]


def ancestors(info: DatasetInfo) -> Iterator[Storage]:
    """The datasets of the same plan that a dataset came from, nearest first, as far as they are still there."""
    while info.parent is not None and info.parent.keys() & {"refilter", "build"}:
        storage = Storage.at(info.parent["url"])
        if not storage.exists(INFO):
            return
        yield storage
        info = read_info(storage)
