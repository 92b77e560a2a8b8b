"""What the benchmark of runs says: measured numbers beside their goals as a table, and the two files of results."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
TITLE = "# Cluster\n\nRuns on Ray whose stages sleep instead of asking a model: everything else is what a real run has."


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measured number: the median of its rounds and their span."""

    what: str
    value: float
    low: float
    high: float
    n: int  # rounds
    unit: str = ""
    goal: str = ""  # ">= 0.95"
    met: bool | None = None


def line(what: str, values: Sequence[float] | float, unit: str = "", goal: str = "") -> Line:
    """`goal`: what is wanted of the median, as "SIGN NUMBER" with one of >=, <= and ==."""
    rounds = values if isinstance(values, Sequence) else [values]
    value = statistics.median(rounds)
    met = _met(value, goal) if goal else None
    return Line(what=what, value=value, low=min(rounds), high=max(rounds), n=len(rounds), unit=unit, goal=goal, met=met)


def _met(value: float, goal: str) -> bool:
    sign, bound = goal.split()
    return {">=": value >= float(bound), "<=": value <= float(bound), "==": value == float(bound)}[sign]


def table(lines: Sequence[Line]) -> str:
    rows = ["| what | value | span | rounds | goal |", "|---|---|---|---|---|"]
    for item in lines:
        goal = f"{item.goal} {'met' if item.met else 'missed'}" if item.goal else ""
        span = f"{_shown(item.low)} to {_shown(item.high)}" if item.n > 1 else ""
        value = f"{_shown(item.value)} {item.unit}".strip()
        rows.append(f"| {item.what} | {value} | {span} | {item.n} | {goal} |")
    return "\n".join(rows)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"


def write(out: Path, part: str, command: str, lines: Sequence[Line]) -> None:
    """A part into `cluster.json` for machines and `cluster.md` for people; other parts that stand there stay."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "cluster.json"
    parts: dict[str, Any] = json.loads(path.read_text())["parts"] if path.exists() else {}
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    parts[part] = {"command": command, **machine, "lines": [asdict(item) for item in lines]}
    path.write_text(json.dumps({"parts": parts}, indent=1) + "\n")
    (out / "cluster.md").write_text(_page(parts))


def _page(parts: Mapping[str, Any]) -> str:
    blocks = [TITLE]
    for name, part in parts.items():
        about = {key: value for key, value in part.items() if key not in ("command", "lines")}
        lines = [Line(**row) for row in part["lines"]]
        blocks += [f"## {name}\n\n`{part['command']}` {json.dumps(about)}", table(lines)]
    return "\n\n".join(blocks) + "\n"
