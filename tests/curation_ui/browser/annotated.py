"""A dataset that has something to show on every page: built, refiltered, judged by two, repacked."""

from collections.abc import Callable
from pathlib import Path

from pipeline.embedded.world import World, write_videos
from pipeline.recipe import load_recipe
from pipeline.run import build, refilter
from pipeline.runners.local import local
from shards import Dataset, Storage, select, verdict
from shards.repack import Settings, repack
from shards.verdicts import Action

METHODS = ("ours", "other", "third")
VIDEOS = 4  # of which the one with the smallest subject is no sample


def write_annotated(folder: Path) -> tuple[Path, Path]:
    """The dataset, and a later version of it with other words."""
    write_videos(folder / "videos", World(num_frames=32, frame_rate=12.0), VIDEOS, cases=("plain",))
    recipe = load_recipe("embedded", ["rules={size: {}}", "measurer.camera=null", "measurer.text=null"])
    build(str(folder / "videos"), str(folder / "all"), recipe, local)
    smallest, following, *_ = sorted(select.columns(Dataset.open(folder / "all").index)["size.area"].to_pylist())
    least = f"rules.size.area=[{(smallest + following) / 2}, 1]"
    refilter(str(folder / "all"), str(folder / "annotated"), [least], local)
    decide = _decider(Dataset.open(folder / "annotated"))
    said: list[tuple[str, int, Action, str | None]] = [
        ("bob", 0, "reject", None),
        ("ann", 0, "accept", None),
        ("ann", 1, "accept", None),
        ("bob", 1, "accept", None),
        ("ann", 1, "rename_subject", "lantern"),
        ("ann", 2, "edit_caption", "a thing that nobody has seen"),
        ("ann", 2, "flag", None),
    ]
    for one in said:
        decide(*one)
    repack(Dataset.open(folder / "annotated"), Storage.at(folder / "later"), Settings(), code="0")
    return folder / "annotated", folder / "later"


def write_study(folder: Path, dataset: Path) -> list[str]:
    """What `review` takes for a study of one task by three methods, each of which shows another clip."""
    samples = Dataset.open(dataset)
    for number, method in enumerate(METHODS):
        (folder / method).mkdir(parents=True)
        (folder / method / "task.mp4").write_bytes(samples[number].video)
    (folder / METHODS[0] / "task.txt").write_text(samples[0].caption)
    (folder / METHODS[0] / "task.jpg").write_bytes(samples[0].strip)
    options = [f"--study={method}={folder / method}" for method in METHODS]
    return [*options, f"--votes={folder / 'votes'}"]


def _decider(dataset: Dataset) -> Callable[[str, int, Action, str | None], None]:
    rows = dataset.index.select(["key", "sha256"]).to_pylist()

    def decide(who: str, number: int, action: Action, value: str | None) -> None:
        dataset.verdicts().append(verdict(who, rows[number]["key"], rows[number]["sha256"], action, value))

    return decide
