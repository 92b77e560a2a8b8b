"""Practice clips with their captions, drawn once by many processes and kept in a folder to train on."""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.embedded.scenes import Case
from pipeline.embedded.tasks.task import TRAINING_SEED
from pipeline.embedded.world import World

NUM_FRAMES = 8
SIZE = (64, 96)  # height, width

CASES: tuple[Case, ...] = ("plain", "plain", "plain", "static", "returning", "large", "small")
"""Taken in turn. Nothing that appears, leaves or is hidden: what a prompt asks for is in every frame."""

PART = 64
"""Clips to a file, which is what a stopped drawing loses."""


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips on disk, in parts."""

    folder: Path
    count: int  # a multiple of PART

    def frames(self, part: int) -> NDArray[np.uint8]:
        """[PART, NUM_FRAMES, *SIZE, 3]"""
        frames: NDArray[np.uint8] = np.load(self._path(part), mmap_mode="r")
        return frames

    def captions(self) -> list[str]:
        return [text for part in self.parts() for text in json.loads(self._path(part).with_suffix(".json").read_text())]

    def parts(self) -> range:
        return range(self.count // PART)

    def draw(self, workers: int) -> Iterator[int]:
        """Draws what is missing; yields the number of clips that are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [part for part in self.parts() if not self._path(part).with_suffix(".json").exists()]
        done = self.count - PART * len(missing)
        yield done
        with ProcessPoolExecutor(max(1, workers), mp_context=get_context("spawn")) as pool:
            for _ in pool.map(self._draw, missing):
                done += PART
                yield done

    def _draw(self, part: int) -> None:
        drawn = [clip(PART * part + number) for number in range(PART)]
        np.save(self._path(part), np.stack([frames for frames, _ in drawn]))
        self._path(part).with_suffix(".json").write_text(json.dumps([text for _, text in drawn]))

    def _path(self, part: int) -> Path:
        return self.folder / f"{part:05d}.npy"


def clip(number: int, seed: int = TRAINING_SEED) -> tuple[NDArray[np.uint8], str]:
    """Frames [NUM_FRAMES, *SIZE, 3] and caption."""
    scene = World(size=SIZE, num_frames=NUM_FRAMES, seed=seed).scene(number, CASES[number % len(CASES)])
    return scene.render().frames, scene.caption
