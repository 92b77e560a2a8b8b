"""The benchmark's own arithmetic, on boxes, masks and scenes whose numbers are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.annotators import building, card, costs, grounding, long, segmenting
from benchmarks.annotators.baselines import Mask, Masks, filled_box, grabcut, kept, warped
from benchmarks.annotators.grounding import Tally
from benchmarks.annotators.naming import colour_of
from benchmarks.annotators.overlap import NamedBox, jaccard, matches, returned
from benchmarks.annotators.practice import UNCUT, WORLDS, PracticeClip, clips
from benchmarks.annotators.report import Findings, about, grouped, line, lines_of, table, timed, write
from benchmarks.intervals import mean, share
from pipeline.embedded.world import World, write_videos
from pipeline.recipe import load_recipe
from pipeline.records import Captioned, Detection, Rejected, Segment, grow
from pipeline.run import build
from pipeline.runners.local import local
from shards import rle, video
from shards.rle import Box

SIZE = (60, 80)


def block(box: Box) -> Mask:
    return filled_box(SIZE, box)


# --- overlap


def test_j_is_the_share_of_pixels_that_both_have() -> None:
    found = np.stack([block((0, 0, 20, 10)), block((0, 0, 10, 10)), block((0, 0, 0, 0)), block((0, 0, 4, 4))])
    true = np.stack([block((10, 0, 30, 10)), block((0, 0, 10, 10)), block((0, 0, 0, 0)), block((0, 0, 0, 0))])
    assert jaccard(found, true).tolist() == pytest.approx([1 / 3, 1, 1, 0])
    assert jaccard(found[None], true[None]).shape == (1, 4)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("1111", "0000"), ("1100", "0000"), ("1101", "0001"), ("0111", "0000"), ("010110", "000110"), ("00", "00")],
)
def test_a_subject_has_come_back_once_it_was_there_and_gone(visible: str, expected: str) -> None:
    assert returned(np.array([c == "1" for c in visible])).tolist() == [c == "1" for c in expected]


def test_each_object_is_matched_once_and_by_its_own_noun() -> None:
    dog, cat = NamedBox("dog", (0, 0, 20, 20)), NamedBox("cat", (40, 0, 60, 20))
    found = [
        NamedBox("dog", (1, 0, 21, 20)),
        NamedBox("dog", (0, 0, 20, 20)),  # taken
        NamedBox("dog", (40, 0, 60, 20)),  # a cat
        NamedBox("cat", (40, 0, 60, 9)),  # IoU 0.45
        NamedBox("cat", (40, 0, 60, 10)),  # IoU 0.5
    ]
    assert matches(found, [dog, cat]) == [0, None, None, None, 1]
    assert matches([], [dog]) == []


# --- boxes


def detection(noun: str, box: Box) -> Detection:
    return Detection(noun=noun, frame=0, box=box, score=0.9, text_score=0.9)


def test_a_tally_counts_recall_and_precision_and_leaves_remnants_out() -> None:
    true = [NamedBox("dog", (0, 0, 20, 20)), NamedBox("dog", (40, 40, 43, 43)), NamedBox("cat", (40, 0, 60, 20))]
    count = Tally()
    count.add(
        ("dog", "tree"),
        [detection("dog", (0, 0, 20, 20)), detection("dog", (40, 40, 43, 43)), detection("tree", (40, 0, 60, 20))],
        true,
        SIZE[0] * SIZE[1],
    )
    assert (count.wanted, count.hit) == (1, 1)  # the cat was not asked for, the second dog is a remnant
    assert (count.given, count.right) == (2, 1)
    assert count.wrong == {"tree where a cat is": 1}
    count.add(("cat",), [], true, SIZE[0] * SIZE[1])
    assert (count.wanted, count.hit, count.given, count.counts[-1]) == (2, 1, 2, False)
    assert count.wrong["cat missed"] == 1


def test_whether_the_subject_is_counted_right_leaves_remnants_out() -> None:
    true = [NamedBox("dog", (0, 0, 20, 20)), NamedBox("dog", (40, 40, 43, 43))]
    counts = []
    for boxes in ([true[0].box], [true[0].box, true[1].box], [true[0].box, (50, 0, 70, 20)], []):
        count = Tally()
        count.add(("dog",), [detection("dog", box) for box in boxes], true, SIZE[0] * SIZE[1])
        counts += count.counts
    assert counts == [True, True, False, False]


def test_absent_nouns_are_in_no_frame_of_the_clip(practice: list[PracticeClip]) -> None:
    for number, clip in enumerate(practice):
        nouns = grounding.absent_nouns(clip, number)
        assert len(set(nouns)) == grounding.ABSENT
        assert not set(nouns) & {actor.look.noun for actor in clip.scene.actors}
        assert nouns == grounding.absent_nouns(clip, number)


# --- clips and prompts


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> list[PracticeClip]:
    return clips(tmp_path_factory.mktemp("practice"), load_recipe("embedded"), 12)


def test_a_practice_clip_is_its_scene_without_a_word_of_it(practice: list[PracticeClip]) -> None:
    assert [clip.scene.case for clip in practice] == [*UNCUT[:6], *UNCUT[:6]]
    assert len({clip.record.key for clip in practice}) == 12
    for clip in practice:
        video = clip.record.video
        assert (video.caption, video.nouns, video.annotation) == (None, (), None)
        assert clip.record.num_frames == clip.scene.num_frames
        assert (clip.record.height, clip.record.width) == clip.size
        difference = clip.frames().astype(float) - clip.truth().frames
        assert np.abs(difference).mean() < 12  # H.264 alters what it shows, and shows that scene
        assert np.array_equal(clip.first_frame(), clip.frames()[0])


def test_exact_prompts_are_the_objects_of_the_first_frame(practice: list[PracticeClip]) -> None:
    for clip in practice:
        for prompt in segmenting.exact_prompts(clip):
            assert rle.box(rle.encode(prompt.wanted), clip.size) == prompt.detection.box
            assert NamedBox("", prompt.detection.box).area >= grounding.REMNANT * clip.size[0] * clip.size[1]
    two = next(clip for clip in practice if clip.scene.case == "two")
    assert [prompt.detection.noun for prompt in segmenting.exact_prompts(two)] == [two.noun, two.noun]


def test_matched_prompts_keep_the_detectors_boxes_and_the_true_masks(practice: list[PracticeClip]) -> None:
    clip = practice[0]
    wanted = segmenting.exact_prompts(clip)
    moved = [detection(p.detection.noun, shifted(p.detection.box)) for p in reversed(wanted)]
    found = segmenting.matched_prompts(clip, [*moved, detection(clip.noun, (0, 0, 2, 2))])
    assert [prompt.detection for prompt in found] == moved
    for prompt, truth in zip(found, reversed(wanted), strict=True):
        assert np.array_equal(prompt.wanted, truth.wanted)


def shifted(box: Box) -> Box:
    return box[0] + 1, box[1], box[2] + 1, box[3]


def test_a_box_without_a_mask_counts_as_nothing_found(practice: list[PracticeClip]) -> None:
    prompts = segmenting.exact_prompts(practice[0])
    first = prompts[0].detection

    def only_first(batch):  # type: ignore[no-untyped-def]
        return [
            tuple(Segment(detection=d, mask=rle.encode(prompts[0].wanted)) for d in found if d == first)
            for _, found in batch
        ]

    ious = [one.iou for one in segmenting.segmented(only_first, prompts)]
    assert ious == [1.0, *[0.0] * (len(prompts) - 1)]


# --- baselines


def walk(num_frames: int = 6) -> tuple[np.ndarray, Masks]:
    """A bright textured block that goes right over a dark, faintly textured ground."""
    noise = np.random.default_rng(0)
    ground = noise.integers(0, 40, (*SIZE, 3))
    block_pixels = noise.integers(150, 255, (20, 24, 3))
    frames, masks = np.repeat(ground[None], num_frames, axis=0), np.zeros((num_frames, *SIZE), bool)
    for t in range(num_frames):
        frames[t, 20:40, 10 + 3 * t : 34 + 3 * t] = block_pixels
        masks[t, 20:40, 10 + 3 * t : 34 + 3 * t] = True
    return frames.astype(np.uint8), masks


def test_grabcut_finds_a_subject_that_stands_out_where_the_filled_box_does_not() -> None:
    frames, masks = walk()
    loose: Box = (6, 16, 40, 46)
    assert jaccard(grabcut(frames[0], loose), masks[0]) > 0.95
    assert jaccard(filled_box(SIZE, loose), masks[0]) == pytest.approx(20 * 24 / (34 * 30))
    assert grabcut(frames[0], (0, 0, SIZE[1], SIZE[0])).all()


def test_flow_carries_a_mask_with_its_subject_and_a_kept_mask_stays() -> None:
    frames, masks = walk()
    assert jaccard(warped(frames, masks[0]), masks)[1:].min() > 0.85
    still = jaccard(kept(frames, masks[0]), masks)
    assert still.tolist() == pytest.approx([(24 - 3 * t) / (24 + 3 * t) for t in range(6)])


# --- captions and books


def test_the_first_colour_of_a_caption_is_the_subjects(practice: list[PracticeClip]) -> None:
    record = practice[0].record
    for text, colour in (("A Red dog past a blue wall", "red"), ("a dog", None), ("a reddish, green dog", "green")):
        assert colour_of(grow(Captioned, record, caption=text, caption_author="test")) == colour
    assert colour_of(Rejected(stage="captioner", why="empty", value=None)) is None
    said = [clip for clip in practice if clip.scene.case != "two"]
    for clip in said:
        true = grow(Captioned, clip.record, caption=clip.scene.caption, caption_author="truth")
        assert colour_of(true) == clip.scene.actors[0].look.colour


def test_the_subject_of_a_frame_is_the_first_actor_of_its_shot() -> None:
    scene = World(num_frames=24).scene(5, "cut")
    (cut,) = scene.cuts
    second = len(scene.shots[0].actors)
    assert [building.subject_at(scene, t) for t in (0, cut - 1, cut, 23)] == [0, 0, second, second]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> building.Builds:
    """A build that is given the truth: what a perfect set of models would make of the videos."""
    folder = tmp_path_factory.mktemp("builds")
    recipe = building.without_models(load_recipe("embedded", ["cutter={shots: null}"]))
    videos, scenes = folder / "videos", {}
    for index, path in enumerate(write_videos(videos, WORLDS[1], 20, cases=UNCUT)):
        scenes[f"folder/{path.name}"] = WORLDS[1].scene(index, UNCUT[index % len(UNCUT)])
    built = building.Built(folder / "dataset")
    build(str(videos), str(built.url), recipe, local)
    return building.Builds(scenes, built, building.verdicts_by_truth(built, videos, folder / "again", recipe))


def test_a_perfect_annotator_gets_full_marks(builds: building.Builds) -> None:
    hard, kept_ = building.hard_cases(builds), building.kept_clips(builds)
    assert {found.value for found in hard.lines} == {1.0}
    assert hard.lines[0].what == "rejected by the right rule"
    values = {found.what: found.value for found in kept_.lines if found.who == "embedded"}
    assert values["clips kept"] == list(builds.true.values()).count("kept") > 1
    assert values["mask J of kept clips"] == values["mask J of kept clips against what they follow"] == 1.0
    assert values["noun of kept clips is right"] == 1.0
    assert hard.notes == [note for note in hard.notes if "by the exact truth too" in note]


# --- report, card, costs


def report_lines() -> Findings:
    values = [("a", 0.5), ("b", 1.0), ("a", 0.75)]
    lines = [
        *grouped("tracker", "J", "embedded", values, mean, goal=0.7),
        line("tracker", "J", "optical flow", share(1, 4)),
        timed("cost", "tracker", "build", "s", [3.0, 1.0, 2.0]),
    ]
    return Findings(lines, ["something fails"])


def test_groups_come_after_the_whole_and_a_goal_is_met_by_the_value() -> None:
    whole, a, b, flow, seconds = report_lines().lines
    assert (whole.value, whole.n, whole.goal, whole.met) == (0.75, 3, 0.7, True)
    assert (a.what, a.value, a.n, a.goal, b.value) == ("J: a", 0.625, 2, None, 1.0)
    assert (flow.value, flow.met) == (0.25, None)
    assert (seconds.value, seconds.low, seconds.high) == (2.0, 1.0, 3.0)
    assert [one.what for one in grouped("t", "J", "e", [("a", 1.0)] * 2, mean)] == ["J"]
    assert grouped("t", "J", "e", [], mean) == []


def test_results_say_how_to_get_them_again_and_a_card_takes_its_table_from_them(tmp_path: Path) -> None:
    found = report_lines()
    said = about({"tracker": "ab12"}, {"clips": 3, "seeds": (1, 2)})
    write(tmp_path, "python -m benchmarks.annotators", {"tracker": found}, said)
    results = json.loads((tmp_path / "annotators.json").read_text())
    assert results["models"] == {"tracker": "ab12"}
    assert results["settings"]["seeds"] == [1, 2]
    assert results["parts"]["tracker"]["command"] == "python -m benchmarks.annotators"
    assert lines_of(results) == found.lines
    text = (tmp_path / "annotators.md").read_text()
    assert table(found.lines) in text
    assert "something fails" in text
    marked = f"# Card\n{card.BEGIN}\nold\n{card.END}\nthe end\n"
    written = card.filled(marked, results)
    assert "old" not in written
    assert written.endswith(f"{card.END}\nthe end\n")
    assert card.filled(written, results) == written
    assert [one.who for one in card.headlines(results)] == ["embedded", "optical flow"]
    with pytest.raises(ValueError, match="put the lines"):
        card.filled("# Card", results)


def test_masks_of_two_ways_are_alike_by_the_worst_of_them() -> None:
    masks = [block((0, 0, 10, 10)), block((20, 0, 30, 10)), block((20, 0, 30, 5))]
    a, b, c = (Segment(detection=detection("dog", (0, 0, 9, 9)), mask=rle.encode(mask)) for mask in masks)
    assert costs.alike([a, b], [a, b], SIZE) == 1.0
    assert costs.alike([a, b], [a, c], SIZE) == 0.5
    assert costs.alike([a, b], [a], SIZE) == 0.0


def test_ways_take_turns_and_the_first_round_only_warms_up() -> None:
    called: list[str] = []

    def way(name: str) -> costs.Way:
        called.append(name)
        return costs.Way(float(len(called)), 0.0, [])

    runs = costs.alternating({"a": lambda: way("a"), "b": lambda: way("b")}, 2)
    assert called == ["a", "b", "b", "a", "a", "b"]
    assert [run.detecting for run in runs["a"]] == [4.0, 5.0]


def test_a_stage_in_a_process_of_its_own_answers_the_same_and_tells_its_memory(practice: list[PracticeClip]) -> None:
    records = [clip.record for clip in practice[:2]]
    stage = load_recipe("embedded").captioner.model_copy(update={"model": None, "template": None})
    peak = costs.apart(stage, records)
    assert peak.answers == stage.open()(records)
    assert peak.resident > 50
    assert costs.passed([*peak.answers, records[0], records]) == [records[0], *records]


def test_a_process_that_dies_is_told_by_its_stage() -> None:
    stage = load_recipe("embedded").encoder.model_copy(update={"dataset": "nowhere://x"})
    with pytest.raises(RuntimeError, match="stage encoder died"):
        costs.apart(stage, [])


def test_clips_of_a_video_with_a_cut_must_be_its_shots() -> None:
    scene = World(num_frames=24).scene(5, "cut")
    (cut,) = scene.cuts
    shots = [building.Span("v", 0, cut), building.Span("v", cut, 24 - cut)]
    late = [building.Span("v", 0, cut + 1), building.Span("v", cut + 1, 23 - cut)]
    assert building.is_cut_right(shots, scene)
    assert building.is_cut_right(late, scene)
    assert building.is_cut_right(shots[1:], scene)
    assert not building.is_cut_right([building.Span("v", 0, 24)], scene)
    assert not building.is_cut_right([building.Span("v", 0, cut + 2), *shots[1:]], scene)
    assert not building.is_cut_right([], scene)


def test_bare_videos_are_judged_by_the_truth_that_the_build_does_not_see(tmp_path: Path) -> None:
    recipe = building.without_models(load_recipe("embedded", ["cutter={shots: null}"]))
    found = building.judged_twice(tmp_path, recipe, 4, ("plain", "static"))
    assert set(found.bare.verdicts.values()) == {"no caption from the source and no model in the recipe"}
    assert sorted(found.true.values()) == ["kept", "kept", "motion.iou", "motion.iou"]
    assert {scene.case for scene in found.scenes.values()} == {"plain", "static"}
    assert building.kept_clips(found).notes == ["end to end: no clip was kept"]
    values = {one.what: one.value for one in building.hard_cases(found).lines}
    assert values["rejected by the right rule"] == values["kept where the truth is kept"] == 0


def test_a_part_measured_again_leaves_the_others_of_the_same_models(tmp_path: Path) -> None:
    def parts() -> dict[str, list[str]]:
        results = json.loads((tmp_path / "annotators.json").read_text())
        return {name: part["notes"] for name, part in results["parts"].items()}

    said = about({"tracker": "ab12"}, {"seeds": (1, 2)})
    write(tmp_path, "all", {"tracker": Findings(notes=["old"]), "davis": Findings(notes=["kept"])}, said)
    write(tmp_path, "one", {"tracker": Findings(notes=["new"])}, said)
    assert parts() == {"tracker": ["new"], "davis": ["kept"]}
    write(tmp_path, "one", {"tracker": Findings(notes=["newer"])}, about({"tracker": "cd34"}, {"seeds": (1, 2)}))
    assert parts() == {"tracker": ["newer"]}


def test_a_right_rule_is_one_by_its_whole_name_or_of_the_family() -> None:
    assert building.is_right("count", "two")
    assert not building.is_right("count.none", "two")
    assert building.is_right("size.width", "small")
    assert not building.is_right("kept", "small")
    assert building.is_right("motion.compensated", "camera")


def test_a_crowded_frame_shows_three_objects_of_three_nouns() -> None:
    asked = costs.crowded(3)
    assert len(asked) == 3
    assert {frame.shape for frame, _ in asked} == {(180, 320, 3)}
    assert all(len(set(nouns)) == 3 for _, nouns in asked)


def test_a_long_clip_is_one_scene_from_end_to_end(tmp_path: Path) -> None:
    (path,) = long.write_long(tmp_path / "videos", 40).iterdir()
    first, *_, last = video.frames(str(path))
    assert sum(1 for _ in video.frames(str(path))) == 40
    scene = World(size=(96, 160), num_frames=40, frame_rate=long.FRAME_RATE, seed=long.SEED).scene(0, "plain")
    for t, frame in ((0, first), (39, last)):
        assert np.abs(frame.astype(int) - scene.frame(t).image).mean() < 6
        assert scene.frame(t).masks[0].any()
