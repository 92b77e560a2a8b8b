"""What an evaluation leaves in its folder: tables, figures, a report, and the records of every video and frame."""

import json
from dataclasses import asdict
from typing import Any

from shards import Storage
from training.evaluation.page import page
from training.evaluation.records import write_records
from training.evaluation.run import Evaluation
from training.evaluation.tables import estimates, latex, markdown

TABLE_MARKDOWN = "table.md"
TABLE_LATEX = "table.tex"
FIGURES = "figures.json"
REPORT = "report.html"


def write_results(storage: Storage, evaluation: Evaluation) -> None:
    """Writes all of it; what stands there of an earlier evaluation is replaced."""
    write_records(storage, evaluation)
    storage.write(TABLE_MARKDOWN, markdown([evaluation]).encode())
    storage.write(TABLE_LATEX, latex([evaluation]).encode())
    storage.write(REPORT, page(evaluation).encode())
    storage.write(FIGURES, json.dumps(as_json(evaluation), indent=1).encode())


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Means, intervals and faults, with the settings that they rest on."""
    titles = evaluation.settings.titles()
    return {
        "name": evaluation.name,
        "protocol": evaluation.protocol,
        "videos": len(evaluation.measured),
        "asked_now": evaluation.asked_now,
        "figures": {titles.get(metric, metric): asdict(found) for metric, found in estimates(evaluation).items()},
        "faults": [asdict(fault) for fault in evaluation.faults],
        "settings": evaluation.settings.model_dump(mode="json"),
    }
