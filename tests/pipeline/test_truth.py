"""Datasets of practice videos against their truth: what the truth itself annotated agrees with it wholly."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pipeline.embedded.truth import agreements
from pipeline.embedded.world import World, write_videos
from pipeline.recipe import load_recipe
from pipeline.run import build
from pipeline.runners.local import local
from shards import Dataset, Sample, Track

WORLD = World(num_frames=16, frame_rate=12.0, seed=5)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Sample]:
    folder = tmp_path_factory.mktemp("truth")
    write_videos(folder / "videos", WORLD, 12)
    build(str(folder / "videos"), str(folder / "dataset"), load_recipe("embedded"), local)
    return list(Dataset.open(folder / "dataset"))


def test_the_truth_agrees_with_itself(samples: Sequence[Sample]) -> None:
    found = agreements(samples, WORLD)
    assert len(found) >= 4
    assert {(one.noun, one.jaccard) for one in found} == {(True, 1.0)}


def test_other_masks_and_other_nouns_do_not(samples: Sequence[Sample]) -> None:
    sample = samples[0]
    masks = sample.tracks[0].decode(sample.size)
    half = masks.copy()
    half[::2] = False
    for wrong, agrees in ((np.roll(masks, 2, axis=2), (0.3, 0.95)), (half, (0.5, 0.5))):
        track = Track.of_masks(wrong, id=1, noun=sample.subject)
        (one,) = agreements([replace(sample, tracks=(track,))], WORLD)
        assert agrees[0] <= one.jaccard <= agrees[1]
        assert one.noun
    other = Track.of_masks(masks, id=1, noun="something")
    (one,) = agreements([replace(sample, subject="something", tracks=(other,))], WORLD)
    assert (one.noun, one.jaccard) == (False, 1.0)
