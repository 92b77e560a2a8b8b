"""Made the golden dataset, once: `python tests/golden/make.py FOLDER` writes FOLDER/dataset and FOLDER/expected.json.

The files in this folder are what format 1 looks like and stay as they are; every later version of the code must
read them. What is expected of them was taken from the shapes that were drawn, not from reading the dataset back.
"""

import hashlib
import io
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards import DatasetInfo, Sample, Storage, Track, write_info, write_shard
from shards.entry import content_sha256, to_members
from shards.video import encode, encoder_version

HEIGHT, WIDTH = 48, 64
COLOURS = {"ball": (230, 60, 40), "box": (40, 90, 220), "kite": (240, 200, 40)}
Masks = NDArray[np.bool_]  # [T, H, W]

# caption, times of the frames, their unit in seconds, subjects as (noun, track id, first frame, frame after the last)
CLIPS: list[tuple[str, tuple[int, ...], Fraction, list[tuple[str, int, int, int]]]] = [
    ("a red ball rolls over a meadow", tuple(range(12)), Fraction(1, 24), [("ball", 1, 0, 12)]),
    ("a box meets a ball", tuple(range(10)), Fraction(1001, 30000), [("box", 1, 0, 10), ("ball", 2, 0, 10)]),
    ("a kite leaves the picture early", (0, 3, 6, 10, 15, 16), Fraction(1, 90), [("kite", 4, 0, 4)]),
    ("„Größer“: 箱が動く 🪁", tuple(range(0, 4096, 512)), Fraction(1, 12800), [("box", 1, 2, 8), ("kite", 9, 0, 8)]),
    ("one frame with a ball", (0,), Fraction(1, 25), [("ball", 1, 0, 1)]),
]


def main(folder: Path) -> None:
    if (folder / "dataset").exists():
        raise SystemExit(f"{folder}/dataset is there already; what is golden is never made again")
    storage = Storage.at(folder / "dataset")
    clips = [_clip(number) for number in range(len(CLIPS))]
    samples = [sample for sample, _ in clips]
    info = {"crf": 30, "encoder": encoder_version("pyav")}
    write_info(
        storage,
        DatasetInfo(
            name="golden", recipe={"name": "golden", "encoder": info}, models={"tracker": "drawn"}, code="0.1.0"
        ),
    )
    shards = [write_shard(storage, "golden", 0, samples[:3]), write_shard(storage, "golden", 1, samples[3:])]
    verdicts = _verdicts(samples)
    storage.write("verdicts/20260101T000000.000000Z-golden.jsonl", verdicts)
    expected = {
        "shards": [
            {"stem": s.stem, "num_samples": s.num_samples, "bytes": s.bytes, "sha256": s.sha256} for s in shards
        ],
        "samples": {sample.key: _expected(sample, masks) for sample, masks in clips},
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


def _clip(number: int) -> tuple[Sample, dict[int, Masks]]:
    caption, pts, unit, subjects = CLIPS[number]
    masks = {track: _masks(noun, track, len(pts), first, end) for noun, track, first, end in subjects}
    frames = [_frame(t, subjects, masks) for t in range(len(pts))]
    tracks = tuple(_track(noun, track, masks[track]) for noun, track, _, _ in subjects)
    sample = Sample(
        key=hashlib.sha256(f"golden/{number}".encode()).hexdigest()[:20],
        video=encode(frames, pts, unit, crf=30),
        strip=_strip(frames),
        pts=pts,
        time_base=unit,
        width=WIDTH,
        height=HEIGHT,
        caption=caption,
        subject=subjects[0][0],
        tracks=tracks,
        scores={"area": float(masks[tracks[0].id].mean()), "count": float(len(tracks)), "motion.iou": 1 / (number + 3)},
        provenance={
            "video": f"golden/{number}",
            "start": number * 2.5,
            "end": number * 2.5 + _seconds(pts, unit),
            "source_sha256": hashlib.sha256(str(number).encode()).hexdigest(),
            "caption_by": "source" if number % 2 else "captioner",
            "recipe": "golden",
            "models": {"tracker": "drawn"},
        },
    )
    return sample, masks


def _seconds(pts: tuple[int, ...], unit: Fraction) -> float:
    """The last frame is shown as long as the mean of the others."""
    return float(pts[-1] * unit * Fraction(len(pts), len(pts) - 1)) if len(pts) > 1 else float(unit)


def _masks(noun: str, id: int, frames: int, first: int, end: int) -> Masks:  # noqa: A002
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    masks = np.zeros((frames, HEIGHT, WIDTH), bool)
    for t in range(first, end):
        cx, cy = 12 + 4 * t if id % 2 else 52 - 4 * t, 20 + id + t
        masks[t] = {
            "ball": (x - cx) ** 2 + (y - cy) ** 2 <= 81,
            "box": (abs(x - cx) <= 8) & (abs(y - cy) <= 6),
            "kite": abs(x - cx) + abs(y - cy) <= 10,
        }[noun]
    return masks


def _frame(t: int, subjects: list[tuple[str, int, int, int]], masks: dict[int, Masks]) -> NDArray[np.uint8]:
    frame = np.full((HEIGHT, WIDTH, 3), (90, 140, 80), np.uint8)
    for noun, track, _, _ in reversed(subjects):
        frame[masks[track][t]] = COLOURS[noun]
    return frame


def _track(noun: str, id: int, masks: Masks) -> Track:  # noqa: A002
    confidence = tuple(0.5 + t / 64 if mask.any() else None for t, mask in enumerate(masks))
    return Track.of_masks(masks, id=id, noun=noun, scores={"detector": 0.75}, series={"confidence": confidence})


def _strip(frames: list[NDArray[np.uint8]]) -> bytes:
    chosen = [frames[round(n * (len(frames) - 1) / 7)] for n in range(8)]
    thumbnails = [Image.fromarray(frame).resize((128, 96)) for frame in chosen]
    strip = Image.fromarray(np.concatenate([np.asarray(t) for t in thumbnails], axis=1))
    sink = io.BytesIO()
    strip.save(sink, "JPEG", quality=50)
    return sink.getvalue()


def _verdicts(samples: list[Sample]) -> bytes:
    """One accepts, renames and drops; another rejects and takes it back; the last is about other content."""
    made: list[tuple[int, str, Any, Any]] = [
        (0, "ann", "accept", None),
        (1, "ann", "rename_subject", "crate"),
        (1, "ann", "drop_track", 2),
        (2, "ben", "reject", None),
        (3, "ben", "edit_caption", "a kite"),
    ]
    lines = []
    for number, (sample, who, action, value) in enumerate(made):
        digest = content_sha256(to_members(samples[sample]))
        fields = {"id": f"event{number}", "who": who, "when": 1767225600.0 + number, "key": samples[sample].key}
        lines.append({**fields, "sha256": digest, "action": action, "value": value, "undoes": None})
    lines.append({**lines[3], "id": "event5", "when": 1767225700.0, "action": "undo", "undoes": "event3"})
    lines.append({**lines[0], "id": "event6", "when": 1767225800.0, "action": "reject", "sha256": "00" * 32})
    return b"".join(json.dumps(line, sort_keys=True).encode() + b"\n" for line in lines)


def _expected(sample: Sample, masks: dict[int, Masks]) -> dict[str, Any]:
    members = to_members(sample)
    return {
        "caption": sample.caption,
        "subject": sample.subject,
        "width": WIDTH,
        "height": HEIGHT,
        "pts": sample.pts,
        "time_base": [sample.time_base.numerator, sample.time_base.denominator],
        "scores": sample.scores,
        "provenance": sample.provenance,
        "tracks": [{"id": t.id, "noun": t.noun, **_drawn(masks[t.id]), "series": t.series} for t in sample.tracks],
        "content_sha256": content_sha256(members),
        "members": {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in members.items()},
    }


def _drawn(masks: Masks) -> dict[str, Any]:
    """Areas and boxes by counting pixels."""
    boxes = []
    for mask in masks:
        ys, xs = np.nonzero(mask)
        boxes.append([int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1] if len(xs) else None)
    bits = [hashlib.sha256(np.packbits(mask).tobytes()).hexdigest() for mask in masks]
    return {"areas": masks.sum(axis=(1, 2)).tolist(), "boxes": boxes, "mask_sha256": bits}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
