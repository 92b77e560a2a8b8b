"""Whether a row moves against the paper's own settings as it does in the paper: differences on the same items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.evaluation.intervals import Estimate, mean
from training.evaluation.paper import ABLATION_METRICS, ABLATIONS, Metric

Verdict = Literal["reproduced", "not reproduced", "undecided"]

Items = Mapping[str, Mapping[Metric, float | None]]
"""By the item's name: its figures."""

JUDGED_BY: Metric = "mIoU"
"""The metric whose verdict is the row's: what the motion module, the masks and the reweighted loss are there for."""

LEAST_ITEMS = 8
"""Of fewer the bootstrap's interval is too narrow to decide anything."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A row's figure less that of the paper's own settings, on the same items, and the paper's."""

    metric: Metric
    found: Estimate
    paper: float

    @property
    def verdict(self) -> Verdict:
        if self.found.n < LEAST_ITEMS or self.found.low <= 0 <= self.found.high or self.paper == 0:
            return "undecided"
        return "reproduced" if self.found.value * self.paper > 0 else "not reproduced"


def differences(name: str, row: Items, default: Items, reference: str) -> list[Difference]:
    """Of every metric that both rows have of some item. `reference` names the paper's own settings."""
    found = []
    for place, metric in enumerate(ABLATION_METRICS):
        pairs = [
            mine - its
            for item, figures in row.items()
            if (mine := figures.get(metric)) is not None and (its := default.get(item, {}).get(metric)) is not None
        ]
        if pairs:
            paper = round(ABLATIONS[name][place] - ABLATIONS[reference][place], 3)
            found.append(Difference(metric=metric, found=mean(pairs), paper=paper))
    return found


def row_verdict(found: Sequence[Difference]) -> Verdict:
    """That of `JUDGED_BY`; undecided where it was not measured."""
    return next((one.verdict for one in found if one.metric == JUDGED_BY), "undecided")
