"""The practice world: an endless supply of small clips whose truth is known exactly, to test and train the house on.

`World().scene(7)` is the same on every machine, whatever other scenes were made; `.render()` draws its frames and the
visible mask of every object. `write_videos` lays scenes down as the files that a folder source reads.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.embedded.casting import cast
from pipeline.embedded.scenes import CASES, Case, Rendered, Scene
from shards import rle
from shards.rle import Size


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Settings of a practice world. Raises ValueError for settings that no scene can have."""

    size: Size = (96, 160)  # height, width, pixels, both even
    num_frames: int = 24
    frame_rate: float = 8.0  # frames a second
    seed: int = 0  # 0 to 2**64 - 1
    hard: float = 0.4  # share of scenes that are one of the cases other than "plain"

    def __post_init__(self) -> None:
        if min(self.size) < 16 or self.size[0] % 2 or self.size[1] % 2:
            raise ValueError(f"size {self.size}: height and width must be even and at least 16")
        if self.num_frames < 8:
            raise ValueError(f"num_frames {self.num_frames}: the cases need at least 8 frames")
        if self.frame_rate <= 0:
            raise ValueError(f"frame_rate {self.frame_rate} is not above 0")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed {self.seed} is not in [0, 2**64)")
        if not 0 <= self.hard <= 1:
            raise ValueError(f"hard {self.hard} is not a share in [0, 1]")

    def scene(self, index: int, case: Case | None = None) -> Scene:
        """Scene number `index` (0 to 2**64 - 1); `case` asks for that case instead of leaving it to the number."""
        if not 0 <= index < 2**64:
            raise ValueError(f"scene {index} is not in [0, 2**64)")
        rng = np.random.Generator(np.random.Philox(key=(self.seed << 64) | index))
        drawn: Case = "plain" if rng.random() >= self.hard else CASES[1 + int(rng.integers(len(CASES) - 1))]
        chosen = cast(case or drawn, rng, self.size, self.num_frames)
        return Scene(
            index=index,
            case=case or drawn,
            size=self.size,
            frame_rate=self.frame_rate,
            caption=chosen.caption,
            nouns=(chosen.noun,),
            shots=chosen.shots,
        )


def write_videos(
    folder: Path,
    world: World,
    count: int,
    *,
    first: int = 0,
    cases: Sequence[Case | None] = (None,),
    truth: bool = True,
) -> list[Path]:
    """Write scenes `first` to `first + count - 1` into `folder` (made if missing) and return the videos' paths.

    `cases` are taken in turn; `None` leaves the case to the scene's number. Each scene becomes `000007.mp4`; with its
    `truth`, also `000007.json` with its caption, subject words, case, cuts (numbers of the frames that begin a shot)
    and the name of its track file, and `000007.tracks.json` with the exact masks of every object that is ever seen, the
    subject first. Without it the videos are bare: only `world.scene` tells what they show.
    Raises ValueError where `cases` is empty.
    """
    if not cases:
        raise ValueError("cases is empty: name at least one, or None for whatever the scene's number says")
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder, world.scene(first + k, cases[k % len(cases)]), truth) for k in range(count)]


def _write(folder: Path, scene: Scene, truth: bool) -> Path:
    from shards.video import encode  # scenes are drawn where there is no codec, too

    rendered = scene.render()
    stem = f"{scene.index:06d}"
    if truth:
        _write_truth(folder, stem, scene, rendered)
    video = folder / f"{stem}.mp4"
    time_base = 1 / Fraction(scene.frame_rate).limit_denominator(1001)
    video.write_bytes(encode(rendered.frames, range(scene.num_frames), time_base))
    return video


def _write_truth(folder: Path, stem: str, scene: Scene, rendered: Rendered) -> None:
    about = {
        "caption": scene.caption,
        "nouns": scene.nouns,
        "tracks": f"{stem}.tracks.json",
        "case": scene.case,
        "cuts": scene.cuts,
    }
    tracks = {"size": scene.size, "tracks": _tracks(rendered)}
    (folder / f"{stem}.tracks.json").write_text(json.dumps(tracks), encoding="utf-8")
    (folder / f"{stem}.json").write_text(json.dumps(about), encoding="utf-8")


def _tracks(rendered: Rendered) -> list[dict[str, object]]:
    seen = [(noun, masks) for noun, masks in zip(rendered.nouns, rendered.masks, strict=True) if masks.any()]
    return [
        {"id": number, "noun": noun, "masks": rle.encode_clip(masks)}
        for number, (noun, masks) in enumerate(seen, start=1)
    ]


if __name__ == "__main__":
    from pipeline.embedded.gallery import sheet

    if len(sys.argv) != 2:
        sys.exit("usage: python -m pipeline.embedded.world OUT.png   (draws a sheet of every noun and every case)")
    sheet().save(sys.argv[1])
