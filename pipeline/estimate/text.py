"""An estimate for people: a line for each figure, with its interval."""

from collections.abc import Callable, Iterator

from pipeline.estimate.estimate import Estimate
from pipeline.estimate.weights import Figure

NOT_KNOWN = (
    "Not in it: duplicates among videos that were not probed together, and machines that are slower or busier than",
    "those of the probe. Classes are a lower bound: a long tail of rare ones shows only in a large sample.",
)


def as_text(found: Estimate) -> str:
    """A table of figures, stage by stage below it, then what the estimate leaves out."""
    return "\n".join(
        [*_head(found), "", *_figures(found), "", *_stages(found), "", *_endings(found), *NOT_KNOWN, *_advice(found)]
    )


def _head(found: Estimate) -> Iterator[str]:
    faults = f", {found.faults} entries that are none" if found.faults else ""
    probed = f"{found.looked_at:,} looked at, {found.probed} probed in {found.strata} strata"
    yield f"{found.videos:,} videos{faults}; {probed}"


def _figures(found: Estimate) -> Iterator[str]:
    yield f"{'':<34}{'estimate':>12}   95 % interval"
    yield _line("clips", found.clips, _count)
    yield _line("samples", found.samples, _count)
    yield _line("kept share", found.kept_share, "{:.1%}".format)
    yield _line("classes", found.classes, _count)
    yield _line("disk (shards and ledger)", found.disk_bytes, _bytes)
    yield _line("GPU-hours of work", found.gpu_hours, _hours)
    yield _line("core-hours of work", found.core_hours, _hours)
    yield _line(f"wall time {_place(found)}", found.wall_hours, _hours)
    if found.paid_gpu_hours.value:
        yield _line("GPU-hours paid", found.paid_gpu_hours, _hours)
    if found.paid_gpu_hours.value and found.cost is not None:
        yield _line("cost", found.cost, "{:,.2f}".format)


def _place(found: Estimate) -> str:
    return f"on {len(found.nodes)} nodes" if found.nodes else "in one process"


def _stages(found: Estimate) -> Iterator[str]:
    yield f"{'stage':<14}{'records':>12}{'hours':>12}   95 % interval       s each   GPUs"
    for stage in found.stages:
        each = 3600 * stage.hours.value / stage.records.value if stage.records.value else 0.0
        interval = f"{_hours(stage.hours.low)} to {_hours(stage.hours.high)}"
        yield (
            f"{stage.name:<14}{stage.records.value:>12,.0f}{_hours(stage.hours.value):>12}   {interval:<18}"
            f"{each:>8.3g}{stage.gpus:>7g}"
        )


def _endings(found: Estimate) -> Iterator[str]:
    for ending, figure in found.endings.items():
        yield _line(f"ends at {ending}", figure, _count)
    if found.endings:
        yield ""


WIDE = 0.15
"""How far an interval of the work may reach to either side before a larger probe is advised."""


def _advice(found: Estimate) -> Iterator[str]:
    work = found.gpu_hours if found.gpu_hours.value else found.core_hours
    half = (work.high - work.low) / 2 / work.value if work.value else 0.0
    if half > WIDE and found.probed < found.videos:
        enough = min(found.videos, round(found.probed * (half / WIDE) ** 2))
        yield f"The work is known to {half:.0%} only; about --probe {enough} would make that {WIDE:.0%}."


def _line(name: str, figure: Figure, text: Callable[[float], str]) -> str:
    return f"{name:<34}{text(figure.value):>12}   {text(figure.low)} to {text(figure.high)}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
