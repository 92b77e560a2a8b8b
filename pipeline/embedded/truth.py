"""Holds a dataset that was built from practice videos against the exact truth of their scenes."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.embedded.world import World
from shards import Sample


class Agreement(NamedTuple):
    """A sample beside its scene."""

    noun: bool  # the sample's subject is what the scene is about
    jaccard: float  # J of its first track and the true subject, mean over all frames; 1 where both see nothing


def agreements(samples: Iterable[Sample], world: World) -> list[Agreement]:
    """Of samples whose videos `write_videos` wrote from `world`, the case of each left to its number."""
    return [_agreement(sample, world) for sample in samples]


def _agreement(sample: Sample, world: World) -> Agreement:
    scene = world.scene(int(PurePosixPath(sample.provenance["video"]).stem))
    first = sample.provenance["first_frame"]
    subject = scene.subject_at(first + sample.num_frames // 2)
    true = np.stack([scene.frame(t).masks[subject] for t in range(first, first + sample.num_frames)])
    found = sample.tracks[0].decode(sample.size)
    return Agreement(sample.subject == scene.actors[subject].look.noun, float(_jaccard(found, true).mean()))


def _jaccard(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> NDArray[np.float64]:
    both, either = (found & true).sum((1, 2)), (found | true).sum((1, 2))
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))
