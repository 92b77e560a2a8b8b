"""Trains the embedded Segment Anything: one mask for each box, on frames of every kind of practice scene."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from segment_anything.utils.transforms import ResizeLongestSide  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional

from pipeline.embedded.scenes import CASES, Frame, Scene
from pipeline.embedded.tasks.task import TRAINING_SEED, VALIDATION_SEED
from pipeline.embedded.world import World
from pipeline.models.segment_anything import Segmenter, build, decode
from pipeline.models.segment_anything_small import SmallSize
from pipeline.models.weights import load_weights
from pipeline.records import Detection, Segment
from shards import rle
from shards.rle import Box, Size

SIZES: tuple[Size, ...] = ((96, 160), (180, 320), (90, 160), (180, 320), (120, 160), (96, 160), (180, 320), (160, 128))
"""Frame sizes, one a step in turn: those of clips, and a portrait."""

FRAMES = 8
"""Of a batch, all of one size."""

NUM_FRAMES = 16
"""Of a scene, one of which is drawn."""

CROWDED = 0.7
"""Share of the frames that show the objects of two scenes: decoding a box costs less than encoding a frame."""

FILE = "segment_anything.safetensors"

LEAST_PIXELS = 6
"""Of what is seen of an object; less than that is not asked for."""


class SegmenterTask:
    """`segment_anything.build("embedded")`: box prompts and the decoder's first mask alone are trained."""

    name = "segmenter"
    steps = 6000
    learning_rate = 1e-3
    warmup = 200
    weight_decay = 0.02
    clip = 1.0

    def network(self, runs: Path) -> nn.Module:  # noqa: ARG002 - other tasks start from a run
        network: nn.Module = build("embedded")
        return network

    def trained(self, weights: Path) -> nn.Module:
        network: nn.Module = build("embedded")
        load_weights(network, weights / FILE, mend="train the segmenter first")
        return network

    def batch(self, step: int) -> dict[str, Tensor]:
        """Frames as the network takes them, and every object in them.

        `images` [B, 3, h, w] uint8; and of N objects: `owner` [N], the number of its image; `boxes` [N, 4] in pixels
        of the images, near the object's; `masks` [N, H, W], what is seen of it at the frame's own resolution.
        """
        rng = np.random.default_rng((TRAINING_SEED, step))
        size = SIZES[step % len(SIZES)]
        world = World(size=size, num_frames=NUM_FRAMES, seed=TRAINING_SEED)
        drawn = frames(world, step * 4 * FRAMES, rng, crowded=CROWDED)
        chosen = [_mirrored(next(drawn), rng) for _ in range(FRAMES)]
        resize = ResizeLongestSide(SmallSize().image_size)
        images = np.stack([resize.apply_image(_worn(frame.image, rng)) for frame in chosen])
        boxes = [jittered(box, size, rng.choice((0.0, 0.03, 0.06)), rng) for frame in chosen for box in _boxes(frame)]
        return {
            "images": torch.from_numpy(images).permute(0, 3, 1, 2),
            "owner": torch.tensor([number for number, frame in enumerate(chosen) for _ in frame.masks]),
            "boxes": resize.apply_boxes_torch(torch.tensor(boxes, dtype=torch.float32), size),
            "masks": torch.from_numpy(np.concatenate([frame.masks for frame in chosen])),
        }

    def losses(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of each object alike, however small: wrong pixels as a share of its own, dice, and the guess of the IoU."""
        sam: Any = network
        truth = batch["masks"]
        with torch.autocast(truth.device.type, torch.bfloat16):
            embeddings = sam.image_encoder(sam.preprocess(batch["images"]))
            small, guesses = decode(sam, embeddings[batch["owner"]], batch["boxes"])
        logits = sam.postprocess_masks(small.float(), batch["images"].shape[-2:], truth.shape[-2:])[:, 0]
        target = truth.float()
        area = target.sum((1, 2))
        wrong = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum((1, 2))
        shown = logits.sigmoid()
        dice = 1 - (2 * (shown * target).sum((1, 2)) + 1) / (shown.sum((1, 2)) + area + 1)
        return {
            "pixels": 0.5 * (wrong / (area + 10)).mean(),
            "dice": dice.mean(),
            "guess": 4 * functional.mse_loss(guesses.float(), _ious(logits > 0, truth)),
        }

    def quality(self, network: nn.Module) -> dict[str, float]:
        """Mean IoU on frames of two sizes, with exact boxes and with ones as a detector gives them."""
        found = {}
        for size in ((96, 160), (180, 320)):
            for jitter in (0.0, 0.04):
                judged = judge(network, World(size=size, num_frames=NUM_FRAMES, seed=VALIDATION_SEED), jitter, 33)
                found[f"iou_{size[1]}_{jitter}"] = float(judged[0].mean())
                found[f"guess_{size[1]}_{jitter}"] = float(np.asarray(np.corrcoef(judged))[0, 1])
        return found

    def save(self, network: nn.Module, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
        save_file(weights, folder / FILE)


def frames(world: World, first: int, rng: np.random.Generator, *, crowded: float = 0.0) -> Iterator[Frame]:
    """Frames of scenes from number `first` on, of every case in turn; each shows an object, and has no other masks.

    A share `crowded` of them shows the objects of the next scene as well, so that much lies before and behind much.
    """
    for number in count(first, 2):
        scene = world.scene(number, CASES[number // 2 % len(CASES)])
        if rng.random() < crowded:
            scene = _crowded(scene, world.scene(number + 1, "plain"))
        frame = scene.frame(int(rng.integers(world.num_frames)))
        seen = frame.masks[frame.masks.sum((1, 2)) >= LEAST_PIXELS]
        if len(seen):
            yield Frame(frame.image, seen)


def jittered(box: Box, size: Size, share: float, rng: np.random.Generator) -> Box:
    """The box with every edge moved by about `share` of its side, in whole pixels within the frame."""
    x0, y0, x1, y1 = box
    moved = np.array(box) + rng.normal(0, share, 4) * np.array((x1 - x0, y1 - y0) * 2)
    left, top, right, bottom = np.clip(np.rint(moved), 0, np.array((size[1], size[0]) * 2)).astype(int).tolist()
    return (left, top, right, bottom) if left < right and top < bottom else box


def judge(network: nn.Module, world: World, jitter: float, number: int) -> NDArray[np.float64]:
    """IoU and the network's guess of it, [2, N], of the objects of `number` frames, as the stage draws them."""
    rng = np.random.default_rng(0)
    drawn = frames(world, 0, rng)
    chosen = [next(drawn) for _ in range(number)]
    asked = [tuple(_detection(jittered(box, world.size, jitter, rng)) for box in _boxes(frame)) for frame in chosen]
    found = Segmenter(network, 1.0)([(frame.image, asked[k]) for k, frame in enumerate(chosen)])
    return np.concatenate([_judged(f, a, s) for f, a, s in zip(chosen, asked, found, strict=True)], 1)


def _crowded(scene: Scene, other: Scene) -> Scene:
    """With the actors of the other's first shot in every shot."""
    shots = []
    for shot in scene.shots:
        guests = tuple(replace(actor, path=actor.path[: shot.num_frames]) for actor in other.shots[0].actors)
        shots.append(replace(shot, actors=shot.actors + guests))
    return replace(scene, shots=tuple(shots))


def _judged(frame: Frame, asked: tuple[Detection, ...], found: tuple[Segment, ...]) -> NDArray[np.float64]:
    """A detection without a segment counts as a mask of nothing."""
    segments = {id(segment.detection): segment for segment in found}
    pairs = []
    for detection, mask in zip(asked, frame.masks, strict=True):
        segment = segments.get(id(detection))
        drawn = np.zeros_like(mask) if segment is None else rle.decode(segment.mask, mask.shape)
        pairs.append(((drawn & mask).sum() / (drawn | mask).sum(), segment.predicted_iou if segment else 0.0))
    return np.array(pairs, np.float64).T


def _detection(box: Box) -> Detection:
    return Detection(noun="object", frame=0, box=box, score=1.0)


def _boxes(frame: Frame) -> list[Box]:
    return [box for box in frame.boxes() if box is not None]


def _mirrored(frame: Frame, rng: np.random.Generator) -> Frame:
    if rng.random() < 0.5:
        return frame
    return Frame(np.ascontiguousarray(frame.image[:, ::-1]), np.ascontiguousarray(frame.masks[:, :, ::-1]))


def _worn(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """As a codec or a camera gives it, most of the time."""
    kind = rng.random()
    if kind < 0.4:
        packed = BytesIO()
        Image.fromarray(image).save(packed, "JPEG", quality=int(rng.integers(40, 95)))
        return np.asarray(Image.open(packed))
    if kind < 0.7:
        light, grain = rng.uniform(0.75, 1.25), rng.normal(0, rng.uniform(0, 6), image.shape)
        return np.clip(image * light + rng.uniform(-20, 20) + grain, 0, 255).astype(np.uint8)
    return image


def _ious(drawn: Tensor, truth: Tensor) -> Tensor:
    shared, either = (drawn & truth).sum((1, 2)), (drawn | truth).sum((1, 2))
    return shared / either
