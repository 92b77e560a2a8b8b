"""What is not done again: nothing where nothing changed, no model for a threshold, only tracking for a tracker's."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.cluster.played import Part, played, with_played_packer, write_source
from benchmarks.cluster.report import Line, line
from pipeline.build import Watch
from pipeline.recipe import Recipe
from pipeline.run import build, refilter
from pipeline.runners.local import local

MODELS = ("captioner", "namer", "grounder", "segmenter", "tracker")


def again(folder: Path, clips: int = 500) -> list[Line]:
    """Calls of every model's stage, counted by the stage itself."""
    source, old = write_source(folder / "source.parquet", clips), str(folder / "old" / "clips")
    runner = with_played_packer(local)
    build(source, old, _counted(folder / "first"), runner)
    build(source, old, _counted(folder / "second"), runner)
    answered: list[str] = []
    watch = Watch(answered=lambda row: answered.append(row.stage))  # what is taken over is no answer
    refilter(old, str(folder / "tighter" / "clips"), ["rules.border.max=0.3"], runner, watch=watch)
    other = _counted(folder / "third", ["tracker.model.propagation.mem_every=5"])
    build(source, str(folder / "tracked" / "clips"), other, runner, donor=old)
    first, second, third = (_calls(folder / name) for name in ("first", "second", "third"))
    return [
        line(f"model calls for {clips} clips", float(sum(first.values()))),
        line("model calls of a second run", float(sum(second.values())), goal="== 0"),
        line("model calls for a changed threshold", float(sum(s in MODELS for s in answered)), goal="== 0"),
        line(
            "calls of the tracker for its changed setting", float(third.pop("tracker")), goal=f"== {first['tracker']}"
        ),
        line("calls of the models before it", float(sum(third.values())), goal="== 0"),
    ]


def _counted(calls: Path, settings: Sequence[str] = ()) -> Recipe:
    calls.mkdir(parents=True, exist_ok=True)
    return played({stage: Part(calls=str(calls / stage)) for stage in MODELS}, {}, settings)


def _calls(calls: Path) -> dict[str, int]:
    found = {stage: calls / stage for stage in MODELS}
    return {stage: len(path.read_text().split()) if path.exists() else 0 for stage, path in found.items()}
