"""Manifests, boxes of other systems, suites: what they say, and what is said of bad ones."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamreel import main
from pipeline.embedded.motion import TRAJECTORIES
from training.evaluation.davis import davis_boxes
from training.evaluation.manifest import Entry, read_manifest, write_manifest
from training.evaluation.practice_suite import practice_items
from training.evaluation.readers import target_boxes
from training.evaluation.suite import boxes_from, paired, subjects_in, write_practice_suite

BOX = [0.1, 0.2, 0.3, 0.4]

# --- Boxes of other systems


def test_motionbooth_moves_from_key_box_to_key_box(tmp_path: Path) -> None:
    script = {"prompt": "a dog", "phrases": ["dog"], "bbox": [[[0.3, 0.6, 0.6, 0.9]], [[0.4, 0.1, 0.7, 0.4]]]}
    (tmp_path / "dog.json").write_text(json.dumps(script))
    boxes = target_boxes("dog.json", tmp_path, 10)
    np.testing.assert_allclose(boxes[0], [0.3, 0.6, 0.6, 0.9])
    np.testing.assert_allclose(boxes[5], [0.35, 0.35, 0.65, 0.65])  # half way: the last box would be the eleventh
    parts = {"bbox": [[BOX], [[0.5, 0.5, 0.7, 0.7]], [[0.2, 0.5, 0.4, 0.7]]], "bbox_proportions": [1, 3]}
    boxes = target_boxes(parts, tmp_path, 8)
    np.testing.assert_allclose(boxes[2], [0.5, 0.5, 0.7, 0.7])


def test_direct_a_video_saves_an_array(tmp_path: Path) -> None:
    boxes = np.tile(BOX, (24, 1))
    np.save(tmp_path / "box.npy", boxes)
    np.testing.assert_allclose(target_boxes("box.npy", tmp_path, 24), boxes)
    with pytest.raises(ValueError, match=r"box\.npy: 24 boxes for a video of 16 frames"):
        target_boxes("box.npy", tmp_path, 16)


def test_freetraj_writes_key_frames_rows_first(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("0, 0.1, 0.4, 0.1, 0.4\n6, 0.6, 0.9, 0.1, 0.4\n15, 0.6, 0.9, 0.6, 0.9")
    boxes = target_boxes("l.txt", tmp_path, 16)
    np.testing.assert_allclose(boxes[[0, 6, 15]], [[0.1, 0.1, 0.4, 0.4], [0.1, 0.6, 0.4, 0.9], [0.6, 0.6, 0.9, 0.9]])
    np.testing.assert_allclose(boxes, target_boxes({"freetraj": "l"}, tmp_path, 16), atol=1e-12)


def test_motionctrl_draws_a_way_on_its_canvas(tmp_path: Path) -> None:
    (tmp_path / "way.txt").write_text("64, 128\n128, 128\n192, 128\n")
    boxes = target_boxes({"file": "way.txt", "box": [0.2, 0.4]}, tmp_path, 5)
    np.testing.assert_allclose(boxes[0], [0.15, 0.3, 0.35, 0.7])
    np.testing.assert_allclose(boxes[-1], [0.65, 0.3, 0.85, 0.7])
    with pytest.raises(ValueError, match=r"way\.txt: a way has no boxes; write"):
        target_boxes("way.txt", tmp_path, 5)


def test_peekaboo_lists_records(tmp_path: Path) -> None:
    record = {"id": "dog0", "caption": "a dog runs", "subject": "dog", "bboxes": [BOX] * 24}
    (tmp_path / "inputs.json").write_text(json.dumps([record]))
    (entry,) = read_manifest(tmp_path / "inputs.json")
    assert (entry.video, entry.prompt, entry.noun) == ("dog0.mp4", "a dog runs", "dog")
    assert entry.boxes is not None
    assert len(target_boxes(entry.boxes, tmp_path, 24)) == 24


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.txt", "1 2 3\n", "neither FreeTraj's"),
        ("a.txt", "words\n", "neither FreeTraj's"),
        ("a.json", "{", "no JSON"),
        ("a.json", "[1]", "no object"),
        ("a.json", '{"bbox": [1, 2]}', "none of MotionBooth's"),
        ("a.npy", "text", "no file of boxes"),
        ("b.json", "", "there is no such file of boxes"),
    ],
)
def test_a_bad_file_of_boxes_is_told_in_one_line(tmp_path: Path, name: str, text: str, fault: str) -> None:
    (tmp_path / name.replace("b.", "a.")).write_text(text)
    with pytest.raises(ValueError, match=fault) as error:
        target_boxes(name, tmp_path, 4)
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)


# --- Manifests


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    entries = [Entry(video="0.mp4", prompt="a dog", boxes={"freetraj": "v"}, seed=3), Entry(video="1.mp4")]
    write_manifest(tmp_path / "m.jsonl", entries)
    assert read_manifest(tmp_path / "m.jsonl") == entries


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names no video"),
        ('{"video": "a"}\n{"prompt": "b"}', r"line 2: video: Field required"),
        ('{"video": "a", "promt": "b"}', r"line 1: promt: Extra inputs"),
        ("{", "line 1: no JSON"),
        ('[{"id": 1}]', "record 0: lacks"),
    ],
)
def test_a_bad_manifest_is_told_by_its_line(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "m.jsonl").write_text(text)
    with pytest.raises(ValueError, match=fault):
        read_manifest(tmp_path / "m.jsonl")


# --- Suites


def test_pairing_uses_each_as_often_as_any_other() -> None:
    rows = paired((50, 36, 60), 300, seed=1)
    assert len(set(rows)) == 300
    for column, count in enumerate((50, 36, 60)):
        uses = Counter(row[column] for row in rows)
        assert len(uses) == count
        assert max(uses.values()) - min(uses.values()) <= 1
    assert rows == paired((50, 36, 60), 300, seed=1)
    assert rows != paired((50, 36, 60), 300, seed=2)


def test_a_small_pairing_repeats_no_row_before_it_must() -> None:
    rows = paired((3, 2, 2), 12, seed=0)
    assert len(set(rows)) >= 10
    assert Counter(row[0] for row in rows) == {0: 4, 1: 4, 2: 4}


def test_a_suite_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subjects = tmp_path / "subjects"
    subjects.mkdir()
    for name in ("dog-1.png", "dog-2.png", "red_fox.png", "red_fox.mask.png"):
        Image.new("RGB", (8, 8)).save(subjects / name)
    (tmp_path / "prompts.txt").write_text("a {} on a beach\na {} in snow\n\n")
    given = ["--subjects", str(subjects), "--prompts", str(tmp_path / "prompts.txt"), "--pairs", "12"]
    assert main(["suite", str(tmp_path / "out"), *given]) == 0
    assert "3 subjects, 8 box sequences, 2 prompts" in capsys.readouterr().out
    entries = read_manifest(tmp_path / "out" / "suite.jsonl")
    assert len(entries) == 12
    assert {entry.noun for entry in entries} == {"dog", "red fox"}
    assert all(entry.noun in (entry.prompt or "") for entry in entries if entry.noun)
    assert all((entry.mask is not None) == (entry.noun == "red fox") for entry in entries)
    assert {str(entry.boxes) for entry in entries} == {str({"freetraj": name}) for name in TRAJECTORIES}
    assert len(subjects_in(subjects)) == 3
    assert main(["suite", str(tmp_path / "out"), *given, "--boxes", "nowhere"]) == 2
    assert "name freetraj, davis:DIR" in capsys.readouterr().err


def test_boxes_of_davis_follow_the_largest_object(tmp_path: Path) -> None:
    sequence = tmp_path / "Annotations" / "480p" / "dog"
    sequence.mkdir(parents=True)
    for number in range(50):
        labels = np.zeros((48, 96), np.uint8)
        labels[0:4, 0:4] = 1
        if number != 6:
            labels[10:30, number : number + 20] = 2
        image = Image.fromarray(labels, "P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        image.save(sequence / f"{number:05d}.png")
    short = tmp_path / "Annotations" / "480p" / "short"
    short.mkdir()
    Image.fromarray(np.zeros((48, 96), np.uint8)).save(short / "00000.png")
    (boxes,) = davis_boxes(tmp_path, 16)  # 8 of 24 frames a second: every third
    assert boxes[0] == [0, round(10 / 48, 5), round(20 / 96, 5), round(30 / 48, 5)]
    assert boxes[2] is None
    assert boxes[15] == [round(45 / 96, 5), round(10 / 48, 5), round(65 / 96, 5), round(30 / 48, 5)]
    assert boxes_from([f"davis:{tmp_path}"], 16) == [{"boxes": boxes}]
    with pytest.raises(ValueError, match="no Annotations"):
        davis_boxes(tmp_path / "Annotations", 16)


def test_boxes_of_davis_2016_are_white(tmp_path: Path) -> None:
    sequence = tmp_path / "Annotations" / "480p" / "dog"
    sequence.mkdir(parents=True)
    for number in range(4):
        mask = np.zeros((10, 10), np.uint8)
        mask[2:5, 3:7] = 255
        Image.fromarray(mask).save(sequence / f"{number:05d}.png")
    assert davis_boxes(tmp_path, 4) == [[[0.3, 0.2, 0.7, 0.5]] * 4]


def test_the_practice_suite_is_the_same_each_time_and_shows_its_subjects(tmp_path: Path) -> None:
    entries = read_manifest(write_practice_suite(tmp_path / "a", 3, (64, 96), 8))
    again = read_manifest(write_practice_suite(tmp_path / "b", 3, (64, 96), 8))
    assert entries == again
    for entry, item in zip(entries, practice_items(3, (64, 96), 8), strict=True):
        assert entry.prompt == item.scene.caption
        assert str(entry.noun) in (entry.prompt or "")
        colour = np.array(item.scene.actors[0].look.rgb)
        picture: Any = item.subject.astype(int)
        assert (np.abs(picture - colour).sum(2) < 90).mean() > 0.01
        assert (picture[0] == 255).all()
        assert item.boxes.shape == (8, 4)
        assert not np.isnan(item.boxes).any()
