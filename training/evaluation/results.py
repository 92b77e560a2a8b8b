"""What an evaluation leaves in its folder: tables, figures, a report, and the records of every video and frame."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from shards import Storage
from training.evaluation.intervals import Estimate
from training.evaluation.page import page
from training.evaluation.records import write_records
from training.evaluation.run import Evaluation
from training.evaluation.tables import Row, estimates, latex, markdown

TABLE_MARKDOWN = "table.md"
TABLE_LATEX = "table.tex"
FIGURES = "figures.json"
REPORT = "report.html"


def write_results(storage: Storage, evaluation: Evaluation, beside: Sequence[Row] = ()) -> None:
    """Writes all of it; what stands there of an earlier evaluation is replaced. `beside` are other systems' rows."""
    write_records(storage, evaluation)
    storage.write(TABLE_MARKDOWN, markdown(evaluation, beside).encode())
    storage.write(TABLE_LATEX, latex(evaluation, beside).encode())
    storage.write(REPORT, page(evaluation, beside, storage.local_path("")).encode())
    storage.write(FIGURES, json.dumps(as_json(evaluation), indent=1).encode())


def row_of(place: str, evaluation: Evaluation) -> Row:
    """The figures that an earlier evaluation left at `place`. Raises ValueError where other models measured them."""
    storage = Storage.at(place)
    if not storage.exists(FIGURES):
        raise ValueError(f"{place}: no evaluation lies here, for {FIGURES} is missing; name its --out folder")
    said: dict[str, Any] = json.loads(storage.read(FIGURES))
    if said["titles"] != evaluation.settings.titles():
        raise ValueError(f"{place}: was measured by other models; evaluate it with the same --recipe")
    names = {title: metric for metric, title in said["titles"].items()}
    return said["name"], {names.get(title, title): Estimate(**found) for title, found in said["figures"].items()}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Means, intervals and faults, with the settings that they rest on."""
    titles = evaluation.settings.titles()
    return {
        "name": evaluation.name,
        "protocol": evaluation.protocol,
        "videos": len(evaluation.measured),
        "asked_now": evaluation.asked_now,
        "figures": {titles.get(metric, metric): asdict(found) for metric, found in estimates(evaluation).items()},
        "titles": titles,
        "faults": [asdict(fault) for fault in evaluation.faults],
        "settings": evaluation.settings.model_dump(mode="json"),
    }
