"""The training of the small tracker: its unroll is the propagation, its clips are true; and how well it came out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.embedded.tasks.tracker import PROPAGATION, TrackerTask
from pipeline.embedded.tasks.tracker_clips import FEWEST_PIXELS, draw_clip, roughened
from pipeline.embedded.tasks.tracker_quality import Followed, follow_scenes, overlaps, summary
from pipeline.embedded.tasks.tracker_unroll import carried
from pipeline.embedded.world import World
from pipeline.models.catalog import PACKAGED
from pipeline.models.deva.build import load
from pipeline.models.deva.core import Core, padded
from pipeline.models.deva.network import Deva
from pipeline.models.deva.propagator import Propagator
from pipeline.models.deva.settings import SMALL, Propagation
from tests.pipeline.deva_seeded import normalised, seeded_frames, seeded_masks, seeded_network

pytestmark = pytest.mark.usefixtures("one_thread")

HEIGHT, WIDTH, TOP = 58, 64, 3  # the height is no multiple of 16: padded by 3 rows on either side


@pytest.fixture(scope="module")
def small() -> Deva:
    return seeded_network(SMALL)


@pytest.fixture(scope="module")
def trained() -> Propagator:
    return Propagator(load(PACKAGED / "deva.safetensors", SMALL), PROPAGATION)


def propagated(network: Deva, images: Tensor, masks: Tensor, mem_every: int) -> Tensor:
    """Probabilities [T - 1, K + 1, H, W] by the propagation, with a memory that keeps and reads everything."""
    settings = Propagation(short_side=None, mem_every=mem_every, top_k=10**6, max_mid_term_frames=100)
    core = Core(network, settings)
    maps = [core.step(core.encode(image), None if t else masks) for t, image in enumerate(images)]
    return torch.stack(maps[1:])


@pytest.mark.parametrize("mem_every", [1, 3, 10])
def test_the_unroll_is_the_propagation(small: Deva, mem_every: int) -> None:
    """Two clips side by side, two objects each: what the propagation says of each of them alone."""
    clips = [normalised(seeded_frames(5, HEIGHT, WIDTH)), normalised(seeded_frames(5, HEIGHT, WIDTH)[::-1].copy())]
    masks = torch.from_numpy(seeded_masks(HEIGHT, WIDTH)).float()
    given = [masks, masks.flip(0)]
    remembered = [t % mem_every == 0 for t in range(5)]
    with torch.no_grad():
        together = carried(small, padded(torch.stack(clips, 1)), padded(torch.stack(given, 1)), remembered)
        maps = torch.stack(list(together))[..., TOP:-TOP, :]
    for b in range(2):
        alone = propagated(small, clips[b], given[b], mem_every)
        torch.testing.assert_close(maps[:, :, b], alone, rtol=0, atol=1e-3)


def test_everything_that_is_run_learns(small: Deva) -> None:
    """Gradients reach all parameters through the frames, but for the projection that no tracking uses."""
    task = TrackerTask()
    network = task.network(Path())
    network.load_state_dict(small.state_dict())
    batch = task.batch(0) | {"remembered": [True, True, True]}
    torch.stack(list(task.losses(network.train(), batch).values())).sum().backward()  # type: ignore[no-untyped-call]
    idle = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name.rpartition(".")[0] for name in idle} <= {"mask_decoder.sensory_linear_pred.projection"}


def test_a_batch_is_its_step() -> None:
    task = TrackerTask()
    once, again = task.batch(3), task.batch(3)
    assert all(torch.equal(once[name], again[name]) for name in ("images", "given", "labels"))
    assert once["images"].shape != task.batch(4)["images"].shape or not torch.equal(
        once["images"], task.batch(4)["images"]
    )


@pytest.mark.parametrize("num_objects", [1, 2, 3])
def test_clips_begin_with_their_objects(num_objects: int) -> None:
    rng = np.random.default_rng(num_objects)
    for _ in range(4):
        clip = draw_clip(rng, (96, 160), num_objects, 5)
        assert clip.frames.shape == (5, 96, 160, 3)
        assert clip.masks.shape == (num_objects, 5, 96, 160)
        assert (clip.masks[:, 0].sum((1, 2)) >= FEWEST_PIXELS).all()
        assert (clip.masks.sum(0) <= 1).all()
        assert (overlaps(clip.given, clip.masks[:, 0]) > 0.5).all()


def test_rough_masks_are_as_good_as_a_segmenters() -> None:
    rng = np.random.default_rng(0)
    masks = [mask for n in range(20) for mask in World().scene(n, "plain").frame(0).masks if mask.sum() >= 100]
    rough = np.stack([roughened(rng, mask) for mask in masks])
    assert 0.84 < overlaps(rough, np.stack(masks)).mean() < 0.94


def test_a_mask_of_a_pixel_is_not_roughened_away() -> None:
    mask = np.zeros((32, 32), bool)
    mask[5, 5] = True
    assert all(roughened(np.random.default_rng(n), mask).any() for n in range(20))


def test_overlap_of_nothing_with_nothing_is_whole() -> None:
    a, b = np.zeros((4, 2, 2), bool), np.zeros((4, 2, 2), bool)
    a[1], b[2], a[3], b[3, 0] = True, True, True, True
    assert overlaps(a, b).tolist() == [1, 0, 0, 0.5]


def test_what_is_seen_again_is_told_apart() -> None:
    track = Followed(
        case="occluded",
        overlaps=np.array([0.9, 1.0, 0.0, 0.7, 0.5]),
        seen=np.array([True, False, False, True, True]),
    )
    assert track.again.tolist() == [0.7, 0.5]
    assert track.absent.tolist() == [1.0, 0.0]
    assert track.j == pytest.approx(0.62)


def test_saved_weights_are_half_and_track_alike(small: Deva, tmp_path: Path) -> None:
    TrackerTask().save(small, tmp_path)
    saved = load_file(tmp_path / "deva.safetensors")
    assert saved.keys() == small.state_dict().keys()
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16, torch.int64}
    images, masks = normalised(seeded_frames(3, 48, 64)), torch.from_numpy(seeded_masks(48, 64)).float()
    exact, near = (
        propagated(network, images, masks, 1) for network in (small, load(tmp_path / "deva.safetensors", SMALL))
    )
    assert (exact.argmax(1) == near.argmax(1)).float().mean() > 0.98


UNSEEN = World(size=(96, 160), num_frames=24, frame_rate=12, seed=70)


def test_unseen_scenes_are_followed(trained: Propagator) -> None:
    tracks = follow_scenes(trained, UNSEEN, range(8)) + follow_scenes(trained, UNSEEN, range(8, 12), rough=True)
    assert summary(tracks)["j"] > 0.85


def test_large_frames_are_followed(trained: Propagator) -> None:
    large = World(size=(180, 320), num_frames=16, frame_rate=12, seed=70)
    assert summary(follow_scenes(trained, large, range(3)))["j"] > 0.85


def test_the_hidden_come_back_and_the_gone_leave_no_mask(trained: Propagator) -> None:
    """Scenes 1 and 9 pass behind a wall, 2 and 10 leave."""
    found = summary(follow_scenes(trained, UNSEEN, (1, 2, 9, 10)))
    assert found["again"] > 0.8
    assert found["absent"] > 0.9
