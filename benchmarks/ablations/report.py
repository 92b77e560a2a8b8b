"""The ablations' results as JSON and as Markdown: figures, differences, and what became of the paper's directions."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablations.variants import DEFAULT
from benchmarks.ablations.verdicts import JUDGED_BY, Difference, Items, Verdict, differences, row_verdict
from training.evaluation.intervals import mean
from training.evaluation.paper import ABLATION_METRICS, BETTER
from training.evaluation.scores import DETECTED
from training.evaluation.settings import EvaluationSettings
from training.evaluation.tables import choices

NAME = "ablations"
SIGNS: dict[Verdict, str] = {"reproduced": "✓", "not reproduced": "✗", "undecided": "?"}


def write(out: Path, rows: Mapping[str, Items], others: Mapping[str, Items], about: Mapping[str, Any]) -> str:
    """`ablations.json` and `ablations.md` in `out`; the latter's text. `others` are rows that are not judged."""
    settings = EvaluationSettings.model_validate(about["evaluation"])
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "gpu": _gpu(), "torch": str(torch.__version__)}
    held = {name: differences(name, row, rows[DEFAULT], DEFAULT) for name, row in rows.items() if name != DEFAULT}
    content = {
        **about,
        **machine,
        "rows": {name: _plain(row) for name, row in {**rows, **others}.items()},
        "differences": {name: [_difference(one) for one in found] for name, found in held.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{NAME}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = _page(rows, others, held, settings, {**about, **machine})
    (out / f"{NAME}.md").write_text(text, encoding="utf-8")
    return text


def _page(
    rows: Mapping[str, Items],
    others: Mapping[str, Items],
    held: Mapping[str, list[Difference]],
    settings: EvaluationSettings,
    about: Mapping[str, Any],
) -> str:
    titles = settings.titles()
    heads = [f"{titles[metric]} {'↑' if BETTER[metric] > 0 else '↓'}" for metric in ABLATION_METRICS]
    figures = [f"| row | {' | '.join(heads)} | detected | items |", f"|{'---|' * (len(heads) + 3)}"]
    for name, row in {**rows, **others}.items():
        cells = [_mean(row, metric) for metric in (*ABLATION_METRICS, DETECTED)]
        figures.append(f"| {name} | {' | '.join(cells)} | {len(row)} |")
    moved = [f"| row | {' | '.join(heads)} | direction ({JUDGED_BY}) |", f"|{'---|' * (len(heads) + 2)}"]
    for name, found in held.items():
        by_metric = {one.metric: one for one in found}
        cells = [_moved(by_metric.get(metric)) for metric in ABLATION_METRICS]
        moved.append(f"| {name} | {' | '.join(cells)} | {row_verdict(found)} |")
    verdicts = [one.verdict for found in held.values() for one in found]
    tally = ", ".join(f"{sign} {verdicts.count(said)}" for said, sign in SIGNS.items())
    settled = {key: value for key, value in about.items() if key not in ("command", "evaluation")}
    notes = [
        "Brackets: 95 % interval over items by the bootstrap; one training of each row, so how much another seed of "
        "the training would give is not in them.",
        *(line.removeprefix("- ") for line in choices(settings, ABLATION_METRICS)),
    ]
    return "\n".join(
        [
            "# Ablations (Tab. 5 and 6) at embedded size",
            "",
            f"`{about['command']}`: {json.dumps(settled)}",
            "",
            *figures,
            "",
            f"## Against {DEFAULT}, item by item",
            "",
            "Difference [95 % interval] / the paper's difference. ✓ the paper's direction is reproduced, "
            f"✗ it is not, ? undecided: the interval holds zero. In all: {tally}.",
            "",
            *moved,
            "",
            *(f"- {note}" for note in notes),
            "",
        ]
    )


def _mean(row: Items, metric: str) -> str:
    values = [value for figures in row.values() if (value := figures.get(metric)) is not None]
    if not values:
        return "-"
    found = mean(values)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _moved(one: Difference | None) -> str:
    if one is None:
        return "-"
    found = one.found
    return f"{SIGNS[one.verdict]} {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] / {one.paper:+.3f}"


def _plain(row: Items) -> dict[str, dict[str, float | None]]:
    return {item: dict(figures) for item, figures in row.items()}


def _difference(one: Difference) -> dict[str, Any]:
    return {**asdict(one), "verdict": one.verdict}


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
