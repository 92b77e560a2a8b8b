"""Clips whose source says nothing of boxes and masks go through the networks of the recipe, end to end.

The networks are small and seeded, so what they find is arbitrary; that it is kept, stored and resumed alike is not.
"""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.caption_faults import CaptionFault, checked_caption
from pipeline.models.captioning import Caption, frames_digest, sampled
from pipeline.models.deva.build import build as build_deva
from pipeline.models.deva.settings import SMALL
from pipeline.models.segment_anything import build as build_sam
from pipeline.recipe import Recipe, load_recipe
from pipeline.records import Captioned, Detection, Encoded, Named, Rejected, Video, grow
from pipeline.run import build, refilter
from pipeline.runners.local import local
from pipeline.stages.annotate import Captioner
from pipeline.stages.locate import _seen
from shards import Dataset, Storage, ledger, video
from shards.verify import verify
from tests.pipeline.grounding_dino_small import seeded_network, write_text_encoder, write_weights
from tests.pipeline.tiny_models import save_blip

CAPTIONS = {"000000": "a dog runs", "000003": "a cat sits", "000007": None}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    text_encoder = write_text_encoder(folder / "bert")
    write_weights(seeded_network(text_encoder), folder / "dino.pth")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(build_sam("embedded").state_dict(), folder / "sam.pth")
        torch.save(build_deva(SMALL).state_dict(), folder / "deva.pth")
    return folder


@pytest.fixture(scope="module")
def recipe(weights: Path) -> Recipe:
    sets = [
        "cutter={shots: null, min_seconds: 0}",
        "captioner.model=null",
        f"grounder.model={{checkpoint: {weights}/dino.pth, size: embedded, text_encoder: {weights}/bert, "
        "box_threshold: 0.0, text_threshold: 0.0, nms_iou: 0.05, device: cpu}",
        f"segmenter.model={{checkpoint: {weights}/sam.pth, size: embedded, device: cpu}}",
        f"tracker.model={{checkpoint: {weights}/deva.pth, size: embedded, device: cpu}}",
        "rules={}",
    ]
    return load_recipe("embedded", sets)


@pytest.fixture(scope="module")
def videos(world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Practice videos without their truth."""
    folder = tmp_path_factory.mktemp("bare") / "videos"
    folder.mkdir()
    for stem, caption in CAPTIONS.items():
        (folder / f"{stem}.mp4").write_bytes((world_folder / f"{stem}.mp4").read_bytes())
        if caption:
            (folder / f"{stem}.txt").write_text(caption)
    return folder


@pytest.fixture(scope="module")
def built(videos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("annotated") / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # groundingdino-py's autocast, told by its own tests
        build(str(videos), str(out), recipe, local)
    return out


def digests(dataset: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(dataset.glob("shards/*"))]


def test_a_caption_is_enough_for_masks_of_every_frame(built: Path) -> None:
    ends = {end.video: (end.outcome, end.stage) for end in ledger.endings(Storage.at(built)).values()}
    assert ends["folder/000007.mp4"] == ("rejected", "captioner")
    samples = {sample.provenance["video"]: sample for sample in Dataset.open(built)}
    assert set(samples) == {"folder/000000.mp4", "folder/000003.mp4"}
    for name, noun in (("folder/000000.mp4", "dog"), ("folder/000003.mp4", "cat")):
        sample = samples[name]
        assert sample.subject == noun
        assert sample.tracks[0].scores.keys() >= {"detector", "text", "predicted_iou", "stability"}
        assert all(len(series) == sample.num_frames for series in sample.tracks[0].series.values())
        by = {what: sample.provenance[f"{what}_by"] for what in ("boxes", "masks", "tracks")}
        assert by == {"boxes": "grounding dino embedded", "masks": "segment anything embedded", "tracks": "deva"}
    assert verify(Storage.at(built)).violations == ()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_moved_checkpoint_is_the_same_model_and_another_is_not(
    videos: Path, built: Path, recipe: Recipe, weights: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.pth"
    moved.write_bytes((weights / "sam.pth").read_bytes())
    model = recipe.segmenter.model
    assert model is not None

    def segmented_by(path: Path) -> Recipe:
        changed = recipe.segmenter.model_copy(update={"model": model.model_copy(update={"checkpoint": str(path)})})
        return recipe.model_copy(update={"segmenter": changed})

    before = digests(built)
    assert build(str(videos), str(built), segmented_by(moved), local).samples == 2
    assert digests(built) == before
    state = torch.load(moved, weights_only=True)
    name = next(iter(state))
    torch.save({**state, name: state[name] + 1}, moved)
    with pytest.raises(ValueError, match=r"was built with other settings \(models\.segmenter"):
        build(str(videos), str(built), segmented_by(moved), local)


def test_refilter_runs_none_of_them(built: Path, tmp_path: Path) -> None:
    summary = refilter(str(built), str(tmp_path / "tight"), ["rules={area_jump: {max: 1.0}}"], local)
    assert summary.clips == 3
    assert summary.rejected.get("judge: area.jump", 0) + summary.samples == 2


def test_weights_that_are_not_there_stop_a_build_before_any_work(videos: Path, tmp_path: Path) -> None:
    lost = load_recipe("embedded", ["segmenter.model={checkpoint: nowhere.pth, size: embedded}"])
    with pytest.raises(ValueError, match=r"nowhere\.pth"):
        build(str(videos), str(tmp_path / "out"), lost, local)
    assert not (tmp_path / "out").exists()


def test_the_captioner_writes_what_the_model_says_of_that_very_clip(videos: Path, tmp_path: Path) -> None:
    save_blip(tmp_path)
    model = Caption(model=str(tmp_path), device="cpu", max_new_tokens=8)
    records = [encoded(f"{n}{n}", str(path)) for n, path in enumerate(sorted(videos.glob("*.mp4")))]
    answers = Captioner(model=model).open()(records)
    write = model.open()
    for record, answer in zip(records, answers, strict=True):
        frames = np.stack(list(video.frames(record.path, sampled(record.num_frames, model.num_frames))))
        (said,) = write([frames])
        expected = checked_caption(said.text, finished=said.finished)
        if isinstance(answer, Rejected):
            assert isinstance(expected, CaptionFault)
            assert answer.why == expected.why
        else:
            assert (answer.key, answer.caption) == (record.key, expected)
            assert frames_digest(frames)[:16] in answer.caption_author


def encoded(key: str, path: str) -> Encoded:
    return Encoded(
        key=key,
        video=Video(id=f"test/{key}", uri=path),
        start=0.0,
        end=1.0,
        first_frame=0,
        num_frames=16,
        source_sha256="",
        path=path,
        sha256="",
        width=160,
        height=96,
        pts=tuple(range(16)),
        time_base=(1, 12),
        scale=(1.0, 1.0),
    )


def test_the_subject_is_the_best_candidate_that_is_seen() -> None:
    captioned = grow(Captioned, encoded("aa", "a.mp4"), caption="a cat and a dog", caption_author="source")
    named = grow(Named, captioned, subjects=("morning", "cat", "dog"), namer="model")
    boxes = tuple(Detection(noun=noun, frame=0, box=(0, 0, 4, 4), score=0.5) for noun in ("dog", "cat", "dog"))
    seen = _seen(named, {0: boxes}, "model")
    assert seen.subject == "cat"
    assert [detection.noun for detection in seen.detections] == ["cat"]
    assert _seen(named, {0: ()}, "model").detections == ()
