"""Suites: a written, seeded pairing of subjects, boxes and prompts, from a user's own or from the practice world.

The paper evaluates 50 subjects, 36 box sequences (of DAVIS 2017 and FreeTraj) and 60 prompts, and does not say how they
are paired. Here each is used as often as any other of its kind, give or take one, in an order of its own.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipeline.embedded.motion import TRAJECTORIES
from shards.rle import Size
from training.evaluation.clips import IMAGES
from training.evaluation.davis import davis_boxes
from training.evaluation.manifest import Entry, write_manifest
from training.evaluation.practice_suite import practice_items

FILE = "suite.jsonl"
PAIRS = 300
"""Videos of a suite, on which the paper is silent: six of each of its fifty subjects."""

TRIES = 50
"""Trades between rows that are tried for each row of a suite, so that none comes twice."""

MASK = ".mask"
"""Before the ending of a subject's mask: dog.mask.png lies beside dog.png."""


class Subject(NamedTuple):
    """An image of a subject, and its noun."""

    image: Path
    noun: str
    mask: Path | None


def write_suite(
    folder: Path, subjects: Sequence[Subject], boxes: Sequence[Any], prompts: Sequence[str], pairs: int, seed: int
) -> Path:
    """The suite's file in `folder`. A prompt's `{}` becomes the subject's noun. ValueError for nothing to pair."""
    for kind, there in (("subjects", subjects), ("boxes", boxes), ("prompts", prompts)):
        if not there:
            raise ValueError(f"a suite needs {kind}, and there are none; name more")
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        Entry(
            video=f"{number:04d}.mp4",
            prompt=prompts[p].replace("{}", subjects[s].noun),
            noun=subjects[s].noun,
            subject=str(subjects[s].image.absolute()),
            mask=None if (mask := subjects[s].mask) is None else str(mask.absolute()),
            boxes=boxes[b],
            seed=number,
        )
        for number, (s, b, p) in enumerate(paired((len(subjects), len(boxes), len(prompts)), pairs, seed))
    ]
    write_manifest(folder / FILE, entries)
    return folder / FILE


def write_practice_suite(folder: Path, count: int, size: Size, num_frames: int) -> Path:
    """The embedded suite, with its subject images, for a base of practice videos."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, item in enumerate(practice_items(count, size, num_frames)):
        Image.fromarray(item.subject).save(folder / f"{number:04d}.png")
        Image.fromarray((item.subject != 255).any(2)).save(folder / f"{number:04d}{MASK}.png")
        entries.append(
            Entry(
                video=f"{number:04d}.mp4",
                prompt=item.scene.caption,
                noun=item.noun,
                subject=f"{number:04d}.png",
                mask=f"{number:04d}{MASK}.png",
                boxes={"boxes": item.boxes.round(5).tolist()},
                seed=number,
            )
        )
    write_manifest(folder / FILE, entries)
    return folder / FILE


def paired(counts: Sequence[int], pairs: int, seed: int) -> list[tuple[int, ...]]:
    """`pairs` rows of numbers below each of `counts`; in every column each number as often as any other, or once more.

    Rows repeat as little as trades between them can bring about.
    """
    rng = np.random.default_rng(seed)
    columns = [np.concatenate([rng.permutation(count) for _ in range(-(-pairs // count))])[:pairs] for count in counts]
    return _unrepeated([tuple(row) for row in np.stack(columns, 1).tolist()], rng)


def _unrepeated(rows: list[tuple[int, ...]], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """A row that is there already trades a number with another row, where both become new ones."""
    there = Counter(rows)
    for _ in range(TRIES * len(rows)):
        repeated = next((n for n, row in enumerate(rows) if there[row] > 1), None)
        if repeated is None:
            break
        other, column = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
        mine, its = list(rows[repeated]), list(rows[other])
        mine[column], its[column] = its[column], mine[column]
        new = [tuple(mine), tuple(its)]
        if new[0] != new[1] and not there[new[0]] and not there[new[1]]:
            there.subtract([rows[repeated], rows[other]])
            there.update(new)
            rows[repeated], rows[other] = new
    return rows


def subjects_in(folder: Path) -> list[Subject]:
    """Images named after their nouns: dog.png, dog-2.png, red_fox.jpg; a mask beside one as dog.mask.png."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder of subjects; check the path")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    masks = {path.name.removesuffix(f"{MASK}{path.suffix}"): path for path in images if path.stem.endswith(MASK)}
    found = [path for path in images if not path.stem.endswith(MASK)]
    if not found:
        raise ValueError(f"{folder}: holds no images of subjects; name them after their nouns, as dog.png")
    return [Subject(path, _noun(path.stem), masks.get(path.stem)) for path in found]


def boxes_from(sources: Sequence[str], num_frames: int) -> list[Any]:
    """Box sequences of all sources: `freetraj`, `davis:DIR`, or a folder of box files."""
    found: list[Any] = []
    for source in sources:
        if source == "freetraj":
            found += [{"freetraj": name} for name in TRAJECTORIES]
        elif source.startswith("davis:"):
            found += [{"boxes": boxes} for boxes in davis_boxes(Path(source.removeprefix("davis:")), num_frames)]
        elif Path(source).is_dir():
            files = sorted(path for path in Path(source).iterdir() if path.suffix in (".json", ".npy", ".txt"))
            found += [str(path.absolute()) for path in files]
        else:
            raise ValueError(f"{source}: no source of boxes; name freetraj, davis:DIR, or a folder of box files")
    return found


def prompts_in(path: Path) -> list[str]:
    """A prompt a line; `{}` stands for the subject's noun."""
    if not path.is_file():
        raise ValueError(
            f"{path}: there is no such file of prompts; write one a line, {{}} where the subject's noun goes"
        )
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _noun(stem: str) -> str:
    return re.sub(r"[-_ ]*\d+$", "", stem).replace("_", " ").replace("-", " ").strip() or stem
