"""A dataset of practice clips with their exact tracks, as a build would write them, for what is measured on shards."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.embedded.world import World
from shards import DatasetInfo, Sample, Storage, Track, write_info, write_shard
from shards.video import encode

PER_SHARD = 8


def write_clips(folder: Path, world: World, count: int) -> None:
    """Scenes 0 to `count` - 1 of `world`, none of them a hard case."""
    storage = Storage.at(folder)
    write_info(storage, DatasetInfo(name="clips", code="0"))
    for first in range(0, count, PER_SHARD):
        numbers = range(first, min(first + PER_SHARD, count))
        write_shard(storage, "clips", first // PER_SHARD, [_sample(world, number) for number in numbers])


def _sample(world: World, number: int) -> Sample:
    scene = world.scene(number, "plain")
    drawn = scene.render()
    ticks, time_base = tuple(range(world.num_frames)), 1 / Fraction(world.frame_rate)
    noun = drawn.nouns[0]
    return Sample(
        key=f"{number:020x}",
        video=encode(drawn.frames, ticks, time_base),
        strip=np.random.default_rng(number).bytes(20_000),
        pts=ticks,
        time_base=time_base,
        width=world.size[1],
        height=world.size[0],
        caption=scene.caption,
        subject=noun,
        tracks=(Track.of_masks(drawn.masks[0], id=1, noun=noun),),
        scores={},
        provenance={
            "video": f"world/{number}",
            "start": 0.0,
            "end": world.num_frames / world.frame_rate,
            "caption_by": "source",
        },
    )
