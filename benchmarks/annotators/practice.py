"""Practice clips on seeds that no training draws: the pipeline's own `Encoded` records beside their exact truth."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.embedded.scenes import CASES, Case, Rendered, Scene
from pipeline.embedded.tasks.task import VALIDATION_SEED
from pipeline.embedded.world import World, write_videos
from pipeline.recipe import Recipe
from pipeline.records import Encoded, Video
from pipeline.sources import parse_source
from pipeline.stage import AnyStage
from pipeline.stages.cutter import Cutter
from shards import video
from shards.rle import Size

SEEDS = (1000, 1001)
"""Of the worlds that are measured on, below those of training and of a look at quality while it runs."""

WORLDS = (
    World(size=(180, 320), num_frames=32, frame_rate=12.0, seed=SEEDS[0]),
    World(size=(96, 160), num_frames=24, frame_rate=12.0, seed=SEEDS[1]),
)
"""Videos as the demo's, and smaller ones."""

assert all(world.seed < VALIDATION_SEED for world in WORLDS)

UNCUT: tuple[Case, ...] = tuple(case for case in CASES if case != "cut")
"""The cases that are one shot: what the annotators are given, since the Cutter comes before them."""

BATCH = 8  # records a call


@dataclass(frozen=True, kw_only=True)
class PracticeClip:
    """A clip as the annotators are given it, and the scene that it shows."""

    record: Encoded
    scene: Scene

    @property
    def noun(self) -> str:
        return self.scene.nouns[0]

    @property
    def size(self) -> Size:
        return self.scene.size

    def truth(self) -> Rendered:
        """Drawn anew at each call: the masks of all clips would fill the memory."""
        return self.scene.render()

    def frames(self) -> NDArray[np.uint8]:
        """[T, H, W, 3] as the annotators see them, H.264 and all."""
        return np.stack(list(video.frames(self.record.path)))

    def first_frame(self) -> NDArray[np.uint8]:
        """[H, W, 3]."""
        return next(iter(video.frames(self.record.path, (0,))))


def clips(folder: Path, recipe: Recipe, count: int, cases: Sequence[Case] = UNCUT) -> list[PracticeClip]:
    """`count` whole scenes of `cases` in turn, half of them from each world, encoded as `recipe` encodes clips."""
    found: list[PracticeClip] = []
    for number, world in enumerate(WORLDS):
        videos = folder / f"videos-{number}"
        half = count // len(WORLDS) + (number < count % len(WORLDS))
        write_videos(videos, world, half, cases=cases)
        found += _encoded(folder / f"clips-{number}", videos, world, recipe, cases)
    return found


def _encoded(folder: Path, videos: Path, world: World, recipe: Recipe, cases: Sequence[Case]) -> Iterator[PracticeClip]:
    bare = [replace(entry, caption=None, nouns=(), annotation=None) for entry in _videos(videos)]
    cut = answers(Cutter(shots=None, min_seconds=0.0, max_seconds=1e6), bare)
    encoder = recipe.encoder.model_copy(update={"dataset": str(folder)})
    for record in answers(encoder, [clip for one in cut for clip in one]):
        index = index_of(record.video)
        yield PracticeClip(record=record, scene=world.scene(index, cases[index % len(cases)]))


def _videos(folder: Path) -> list[Video]:
    return [entry for entry in parse_source(str(folder)).videos() if isinstance(entry, Video)]


def index_of(video: Video) -> int:
    """Number of the scene that a practice video shows."""
    return int(Path(video.uri).stem)


def without_truth(videos: Path, folder: Path) -> Path:
    """A copy of the videos alone, under their names, so that both folders' clips have the same keys."""
    folder.mkdir(parents=True)
    for path in sorted(videos.glob("*.mp4")):
        shutil.copy(path, folder / path.name)
    return folder


def answers(stage: AnyStage, records: Sequence[Any], batch: int = BATCH) -> list[Any]:
    """A stage's answer to every record, grown or `Rejected`, in order."""
    ask = stage.open()
    return [answer for first in range(0, len(records), batch) for answer in ask(records[first : first + batch])]
