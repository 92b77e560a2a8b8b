"""The state of one clip while masks are carried through it, frame by frame, all objects at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.deva.matching import Query, feature_map, tokens
from pipeline.models.deva.memory import Memory, Tokens, remembered
from pipeline.models.deva.network import STRIDE, Deva, ImageFeatures, Key, aggregate, probabilities
from pipeline.models.deva.settings import Propagation


@dataclass(frozen=True, kw_only=True)
class EncodedFrame:
    """A frame as the network sees it, padded on all sides to multiples of 16, with its features."""

    image: Tensor  # [1, 3, H', W'], normalised
    features: ImageFeatures
    key: Key
    size: tuple[int, int]  # H, W before padding

    @property
    def query(self) -> Query:
        return Query(tokens(self.key.key[0]).float(), tokens(self.key.selection[0]).float())

    @property
    def shrinkage(self) -> Tensor:
        """[N] of its N positions."""
        return self.key.shrinkage.flatten().float()

    @property
    def grid(self) -> tuple[int, int]:
        height, width = self.key.key.shape[-2:]
        return height, width

    def pad(self, masks: Tensor) -> Tensor:
        """Masks [K, H, W] with zeros around, [K, H', W']."""
        return padded(masks)

    def crop(self, maps: Tensor) -> Tensor:
        """The inverse of `pad`."""
        return cropped(maps, self.size)


def padded(maps: Tensor) -> Tensor:
    """Maps [..., H, W] with zeros on all sides, up to multiples of 16."""
    height, width = maps.shape[-2:]
    return functional.pad(maps, _padding((height, width)))


def cropped(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of `padded` for maps that had that size."""
    left, _, top, _ = _padding(size)
    return maps[..., top : top + size[0], left : left + size[1]]


def _padding(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, right, top, bottom: half before, rounded down, the rest after."""
    (top, bottom), (left, right) = ((-s % STRIDE // 2, -s % STRIDE - -s % STRIDE // 2) for s in size)
    return left, right, top, bottom


class Merged(NamedTuple):
    """What became of the objects where detections were merged in."""

    kept: Sequence[int]  # channels of the old objects that stay, ascending
    masks: Tensor  # [K, H', W'], 0 or 1: of the objects that stay, then of the new ones


class Core:
    """One clip's propagation. Objects are channels, in the order in which they entered."""

    def __init__(self, network: Deva, settings: Propagation) -> None:
        self.network = network
        self.settings = settings
        self.memory = Memory(settings)
        self.last_masks = torch.zeros(0)  # [K, H', W'], 0-1: the last frame's, without background
        self.sensory = torch.zeros(0)  # [K, D, h, w]
        self.time = -1  # number of the last frame
        self.memory_time = 0  # number of the last frame that was remembered

    @torch.inference_mode()
    def encode(self, image: Tensor) -> EncodedFrame:
        """Features of a normalised image [3, H, W]."""
        height, width = image.shape[-2:]
        whole = padded(image[None])
        with self._precision():
            features, key = self.network.encode_image(whole)
        return EncodedFrame(image=whole, features=features, key=key, size=(height, width))

    @torch.inference_mode()
    def step(self, frame: EncodedFrame, new_masks: Tensor | None = None) -> Tensor:
        """Probabilities [K + 1, H, W] of the next frame, background first.

        `new_masks` [K', H, W], 0-1, bring objects that enter in this frame. Without any object yet the answer is one
        channel of zeros.
        """
        self.time += 1
        if new_masks is None and not self.memory.num_objects:
            return frame.image.new_zeros(1, *frame.size)
        if new_masks is None:
            maps = self._predict(frame)
        else:
            maps = torch.softmax(aggregate(self._with_new(frame, frame.pad(new_masks.float()))), dim=0)
        self.last_masks = maps[1:]
        if new_masks is not None or self.time - self.memory_time >= self.settings.mem_every:
            self._remember(frame)
        return frame.crop(maps)

    @torch.inference_mode()
    def incorporate(self, frame: EncodedFrame, merge: Callable[[Tensor], Merged]) -> Tensor:
        """As `step`, where `merge` decides from the carried labels [H', W'] (channel k is k + 1) what is kept."""
        self.time += 1
        known = self.memory.num_objects
        labels = self._predict(frame).argmax(dim=0) if known else frame.image.new_zeros(frame.image.shape[-2:])
        kept, masks = merge(labels.long())
        if known:
            self.memory.keep(kept)
            self.sensory = self.sensory[list(kept)]
        self.last_masks = masks.float()
        if not len(masks):
            return frame.image.new_zeros(1, *frame.size)
        self._remember(frame)
        return frame.crop(torch.softmax(aggregate(self.last_masks), dim=0))

    @torch.inference_mode()
    def aligned(self, source: EncodedFrame, masks: Tensor, target: EncodedFrame) -> Tensor:
        """Masks [K, H, W] of `source` carried to `target` by these two frames alone: probabilities [K + 1, H, W]."""
        masks = source.pad(masks.float())
        value, sensory = self._encode_masks(source, masks, self._no_sensory(source, len(masks)))
        memory = Memory(self.settings)
        memory.add(_tokens_of(source, value))
        _, maps = self._decode(target, memory, sensory, masks)
        return target.crop(maps)

    def _predict(self, frame: EncodedFrame) -> Tensor:
        """Probabilities [K + 1, H', W'] of every known object; the sensory memory goes one frame on."""
        self.sensory, maps = self._decode(frame, self.memory, self.sensory, self.last_masks)
        return maps

    def _with_new(self, frame: EncodedFrame, new: Tensor) -> Tensor:
        """The known objects' masks where the new ones [K', H', W'] are not, then the new ones."""
        if not self.memory.num_objects:
            return new
        known = self._predict(frame)[1:]
        return torch.cat([known * (new.amax(dim=0) <= 0.5), new])

    def _remember(self, frame: EncodedFrame) -> None:
        new = len(self.last_masks) - self.memory.num_objects
        none = self._no_sensory(frame, new)
        sensory = torch.cat([self.sensory, none]) if self.memory.num_objects else none
        value, self.sensory = self._encode_masks(frame, self.last_masks, sensory)
        self.memory.add(_tokens_of(frame, value))
        self.memory_time = self.time

    def _encode_masks(self, frame: EncodedFrame, masks: Tensor, sensory: Tensor) -> tuple[Tensor, Tensor]:
        with self._precision():
            value, sensory = self.network.mask_encoder(frame.image, frame.features.f16, masks, sensory)
        return value, sensory.float()

    def _decode(
        self, frame: EncodedFrame, memory: Memory, sensory: Tensor, last_masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sensory memory [K, D, h, w] and probabilities [K + 1, H', W']."""
        readout = feature_map(memory.read(frame.query), frame.grid)
        with self._precision():
            sensory, logits = self.network.mask_decoder(frame.features, readout, sensory, last_masks)
        return sensory.float(), probabilities(logits)

    def _no_sensory(self, frame: EncodedFrame, num_objects: int) -> Tensor:
        return frame.image.new_zeros(num_objects, self.network.value_dim, *frame.grid)

    def _precision(self) -> torch.autocast:
        """For the network alone: matching and aggregation stay in float32."""
        precision = self.settings.precision
        kind = torch.float16 if precision == "float16" else torch.bfloat16
        return torch.autocast(self.network.device.type, kind, enabled=precision != "float32")


def _tokens_of(frame: EncodedFrame, value: Tensor) -> Tokens:
    """What to remember of a frame with the objects' values [K, D, h, w]."""
    query = frame.query
    return remembered(query.key, frame.shrinkage, query.selection, tokens(value))
