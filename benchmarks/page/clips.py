"""Clips to be reviewed in a browser: drawn by the practice world with their exact masks, as many as one likes."""

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from pipeline.embedded.world import World
from pipeline.stages.packer import strip
from shards import Dataset, DatasetInfo, Sample, Storage, Track, write_info, write_shard
from shards.video import encode

DRAWN = 24
"""Scenes; further clips are these again under other keys, so that no address is asked for twice."""

FPS = 24


def write_clips(folder: Path, count: int, size: tuple[int, int], num_frames: int) -> Dataset:
    """`count` clips of height x width pixels at 24 frames a second."""
    world, storage = World(size=size, num_frames=num_frames, frame_rate=float(FPS)), Storage.at(folder)
    drawn = [_sample(world, number) for number in range(min(DRAWN, count))]
    write_info(storage, DatasetInfo(name="practice", code="0"))
    write_shard(storage, "practice", 0, [_again(drawn[number % DRAWN], number) for number in range(count)])
    return Dataset.open(folder)


def _again(sample: Sample, number: int) -> Sample:
    key = hashlib.sha256(str(number).encode()).hexdigest()[:20]
    return replace(sample, key=key, provenance={**sample.provenance, "video": f"practice/{number}"})


def _sample(world: World, number: int) -> Sample:
    scene = world.scene(number, "plain")
    rendered = scene.render()
    count, (height, width) = scene.num_frames, world.size
    video = encode(rendered.frames, range(count), Fraction(1, FPS))
    return Sample(
        key=f"{number:020x}",
        video=video,
        strip=strip(video, count),
        pts=tuple(range(count)),
        time_base=Fraction(1, FPS),
        width=width,
        height=height,
        caption=scene.caption,
        subject=scene.nouns[0],
        tracks=(Track.of_masks(rendered.masks[0], id=1, noun=scene.nouns[0]),),
        scores={},
        provenance={"video": f"practice/{number}", "start": 0.0, "end": count / FPS, "caption_by": "drawn"},
    )
