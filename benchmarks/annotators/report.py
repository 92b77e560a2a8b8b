"""What the annotators' benchmark says: lines with intervals as one table, and the two files of results."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.intervals import Estimate

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parents[1] / "results"
TITLE = (
    "# Annotators\n\nThe recipe's models on practice clips that no training drew, beside baselines without learning."
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measured number; `low` and `high` are a share's or mean's 95 % interval, or the span of a time's rounds."""

    section: str
    what: str
    who: str
    value: float
    low: float
    high: float
    n: int  # clips, boxes or rounds behind it
    unit: str = ""
    goal: float | None = None  # the least that is wanted
    met: bool | None = None


@dataclass(frozen=True)
class Findings:
    """What one section found: numbers for the table, and in words where it fails."""

    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(self.lines + other.lines, self.notes + other.notes)


def line(section: str, what: str, who: str, estimate: Estimate, goal: float | None = None) -> Line:
    """A share or mean with its interval."""
    met = None if goal is None else estimate.value >= goal
    return Line(section=section, what=what, who=who, **asdict(estimate), goal=goal, met=met)


def timed(section: str, what: str, who: str, unit: str, values: Sequence[float], goal: float | None = None) -> Line:
    """A time, rate, ratio or size: the median and the span of the rounds."""
    value = statistics.median(values)
    return Line(
        section=section,
        what=what,
        who=who,
        value=value,
        low=min(values),
        high=max(values),
        n=len(values),
        unit=unit,
        goal=goal,
        met=None if goal is None else value >= goal,
    )


def grouped(
    section: str,
    what: str,
    who: str,
    values: Sequence[tuple[str, float]],
    estimate: Callable[[Sequence[float]], Estimate],
    goal: float | None = None,
) -> list[Line]:
    """One line over all values, and one for each group; the first of a pair names its group."""
    names = list(dict.fromkeys(name for name, _ in values))
    lines = [line(section, what, who, estimate([value for _, value in values]), goal)] if values else []
    for name in names if len(names) > 1 else ():
        lines.append(line(section, f"{what}: {name}", who, estimate([v for group, v in values if group == name])))
    return lines


def about(models: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader needs to measure the same again."""
    return {
        "code": _code(),
        "machine": {"cpus": os.cpu_count(), "machine": platform.machine(), "gpu": _gpu()},
        "python": platform.python_version(),
        "torch": {"version": torch.__version__, "threads": torch.get_num_threads()},
        "models": dict(models),
        "settings": dict(settings),
    }


def _code() -> str:
    """The release, and the commit where the code lies in a checkout."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return f"{version('dreamreel')} {git.stdout.strip()}".strip()


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def table(lines: Sequence[Line]) -> str:
    rows = ["| part | what | who | value | 95 % interval or span | n | goal |", "|---|---|---|---|---|---|---|"]
    for item in lines:
        goal = "" if item.goal is None else f"{item.goal:g} {'met' if item.met else 'missed'}"
        span = f"{_shown(item.low)} to {_shown(item.high)}" if item.n > 1 else ""
        value = f"{_shown(item.value)} {item.unit}".strip()
        rows.append(f"| {item.section} | {item.what} | {item.who} | {value} | {span} | {item.n} | {goal} |")
    return "\n".join(rows)


def _shown(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"


def write(out: Path, command: str, found: Findings, said: Mapping[str, Any]) -> None:
    """`annotators.json` for machines and `annotators.md` for people."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [{name: value for name, value in asdict(item).items() if value is not None} for item in found.lines]
    content = {"command": command, **said, "lines": rows, "notes": found.notes}
    (out / "annotators.json").write_text(json.dumps(content, indent=1) + "\n")
    head = f"{TITLE}\n\n`{command}`\n\n" + "\n".join(f"- {name}: {_in_words(value)}" for name, value in said.items())
    notes = "\n".join(f"- {note}" for note in found.notes)
    tail = f"\n\n## Where it fails\n\n{notes}" if notes else ""
    (out / "annotators.md").write_text(f"{head}\n\n{table(found.lines)}{tail}\n")


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
