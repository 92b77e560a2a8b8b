"""What the annotators' benchmark says: lines with intervals as one table, and the two files of results."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
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
    """What decides the numbers: the models' digests and the settings of the run."""
    return {"models": dict(models), "settings": dict(settings)}


def where() -> dict[str, Any]:
    """What they were measured with."""
    return {
        "code": _code(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def _code() -> str:
    """The release, and the commit where the code lies in a checkout."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    try:
        release = version("dreamreel")
    except PackageNotFoundError:  # a GPU machine that has the checkout alone
        release = "not installed"
    return f"{release} {git.stdout.strip()}".strip()


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


def write(out: Path, command: str, found: Mapping[str, Findings], said: Mapping[str, Any]) -> None:
    """`annotators.json` for machines and `annotators.md` for people.

    Other parts' results that stand there stay, if they are of the same models and settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "annotators.json"
    parts = {name: {"command": command, **where(), **_plain(part)} for name, part in found.items()}
    content = {**said, "parts": _same(path, said) | parts}
    path.write_text(json.dumps(content, indent=1) + "\n")
    (out / "annotators.md").write_text(_page(content))


def lines_of(results: Mapping[str, Any]) -> list[Line]:
    """The lines of all parts, as `annotators.json` has them."""
    return [Line(**row) for part in results["parts"].values() for row in part["lines"]]


def _plain(part: Findings) -> dict[str, Any]:
    rows = [{name: value for name, value in asdict(item).items() if value is not None} for item in part.lines]
    return {"lines": rows, "notes": part.notes}


def _same(path: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """The parts in the file that were measured with the same models and settings."""
    if not path.exists():
        return {}
    before = json.loads(path.read_text())
    alike = all(before.get(name) == json.loads(json.dumps(value)) for name, value in said.items())
    parts: dict[str, Any] = before["parts"] if alike else {}
    return parts


def _page(content: Mapping[str, Any]) -> str:
    parts: Mapping[str, Any] = content["parts"]
    said = [f"- {name}: {json.dumps(content[name])}" for name in ("settings", "models")]
    for name, part in parts.items():
        here = {key: value for key, value in part.items() if key not in ("command", "lines", "notes")}
        said.append(f"- {name}: `{part['command']}` {json.dumps(here)}")
    notes = [f"- {note}" for part in parts.values() for note in part["notes"]]
    blocks = [
        TITLE,
        "\n".join(said),
        table(lines_of(content)),
        "## Where it fails, and what was left out",
        "\n".join(notes),
    ]
    return "\n\n".join(blocks if notes else blocks[:3]) + "\n"
