"""What was measured of the page as lines with their goals: each part's in a JSON file, both parts' in one table."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

PARTS = {"server": "The server", "browser": "The page in a browser"}

Goal: TypeAlias = tuple[Literal["median", "p95"], Literal["<=", ">="], float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that was measured: a value for each round, and those of what it is compared with."""

    what: str
    unit: str
    values: Sequence[float]
    beside: Mapping[str, Sequence[float]] = field(default_factory=dict)
    goal: Goal | None = None


def ratio(what: str, upper: Sequence[float], lower: Sequence[float], goal: Goal | None = None) -> Line:
    """Of the two values of each round."""
    return Line(what=what, unit="x", values=[a / b for a, b in zip(upper, lower, strict=True)], goal=goal)


def record(part: str, lines: Sequence[Line], settings: Mapping[str, Any], out: Path) -> None:
    """Write page-PART.json, and page.md anew of both; print this part's table."""
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "load at the end": os.getloadavg()}
    said = {"machine": machine, "settings": dict(settings), "lines": [asdict(line) for line in lines]}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"page-{part}.json").write_text(json.dumps(said, indent=1) + "\n")
    found = {name: out / f"page-{name}.json" for name in PARTS}
    parts = [_section(name, json.loads(path.read_text())) for name, path in found.items() if path.exists()]
    (out / "page.md").write_text("\n\n".join(["# The curation page", *parts]) + "\n")
    print(table(lines))


def table(lines: Sequence[Line]) -> str:
    """In Markdown."""
    head = ["| what | median | p95 | span | n | beside it: medians | goal |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *map(_row, lines)])


def _section(part: str, said: Mapping[str, Any]) -> str:
    command = f"`python -m benchmarks.page.{part}`: {json.dumps({**said['machine'], **said['settings']})}"
    return f"## {PARTS[part]}\n\n{command}\n\n{table([Line(**line) for line in said['lines']])}"


def _row(line: Line) -> str:
    values = sorted(line.values)
    beside = ", ".join(f"{name} {_number(statistics.median(them), line.unit)}" for name, them in line.beside.items())
    span = f"{_number(values[0])} to {_number(values[-1])}" if len(values) > 1 else ""
    middle = _number(statistics.median(values), line.unit)
    cells = [line.what, middle, _number(p95(values)) if len(values) > 1 else "", span, str(len(values)), beside]
    return f"| {' | '.join([*cells, _goal(line)])} |"


def _goal(line: Line) -> str:
    if line.goal is None:
        return ""
    statistic, sign, bound = line.goal
    value = statistics.median(line.values) if statistic == "median" else p95(line.values)
    met = value <= bound if sign == "<=" else value >= bound
    return f"{statistic} {'at most' if sign == '<=' else 'at least'} {bound:g} {'met' if met else '**missed**'}"


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed: the least such, none between two."""
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def _number(value: float, unit: str = "") -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip()
