"""DEVA's propagation over a batch of short clips with gradients: what `Propagator` does, without its bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.models.deva.matching import Query, similarity
from pipeline.models.deva.network import Deva, ImageFeatures, Key, aggregate, probabilities


def carried(
    network: Deva, images: Tensor, given: Tensor, remembered: Sequence[bool], *, bfloat16: bool = False
) -> Iterator[Tensor]:
    """Probabilities [K + 1, B, H, W] of every frame but the first, background first.

    `images` [T, B, 3, H, W] are normalised, and `given` [K, B, H, W] are the first frame's masks, 0-1; sides are
    multiples of 16. `remembered` [T] says which frames enter the memory, the first of them always. A position reads
    all of the memory: as `Propagator` with a `top_k` beyond its tokens. `bfloat16` is for the network alone.
    """
    precision = torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16)
    with precision:
        frames = _encoded(network, images)
    maps = torch.softmax(aggregate(given), dim=0)
    sensory = images.new_zeros(len(given) * given.shape[1], network.value_dim, *frames[0].key.key.shape[-2:])
    memory = _Memory(len(given))
    for t, frame in enumerate(frames):
        objects = frame.repeated(len(given))
        if t:
            readout = memory.read(frame.key)
            with precision:
                sensory, logits = network.mask_decoder(objects.features, readout, sensory.float(), _each(maps))
            maps = probabilities(logits.unflatten(0, given.shape[:2]))
            yield maps
        if remembered[t] or not t:
            with precision:
                value, sensory = network.mask_encoder(objects.image, objects.features.f16, _each(maps), sensory.float())
            memory.add(frame.key, value.float())


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """The same frame of all clips, or of all their objects: K times the B clips."""

    image: Tensor  # [B, 3, H, W]
    features: ImageFeatures
    key: Key

    def repeated(self, times: int) -> "_Frame":
        features = ImageFeatures(*(feature.repeat(times, 1, 1, 1) for feature in self.features))
        return _Frame(image=self.image.repeat(times, 1, 1, 1), features=features, key=self.key)


def _encoded(network: Deva, images: Tensor) -> list[_Frame]:
    """All frames at once: normalisation sees the whole batch."""
    features, key = network.encode_image(images.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    batch = images.shape[1]
    features_of = zip(*(torch.split(feature, batch) for feature in features), strict=True)
    key_of = zip(*(torch.split(part.float(), batch) for part in key), strict=True)
    return [
        _Frame(image=image, features=ImageFeatures(*f), key=Key(*k))
        for image, f, k in zip(images, features_of, key_of, strict=True)
    ]


def _each(maps: Tensor) -> Tensor:
    """The objects of maps [K + 1, B, H, W] as [K B, H, W]."""
    return maps[1:].flatten(0, 1)


@dataclass(frozen=True)
class _Memory:
    """Everything that was remembered of each clip, in rows: [B, M, C], [B, M] and [B, M, K D]."""

    num_objects: int
    _parts: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def add(self, key: Key, value: Tensor) -> None:
        """A frame with values [K B, D, h, w]."""
        by_object = value.reshape(self.num_objects, -1, *value.shape[1:]).flatten(3)
        self._parts.append((_rows(key.key), key.shrinkage.flatten(1), by_object.permute(1, 3, 0, 2).flatten(2)))

    def read(self, key: Key) -> Tensor:
        """What the memory says to a frame, [K B, D, h, w]."""
        keys, shrinkage, values = (torch.cat(parts, dim=1) for parts in zip(*self._parts, strict=True))
        weight = torch.softmax(similarity(keys, shrinkage, Query(_rows(key.key), _rows(key.selection))), dim=-1)
        batch, _, height, width = key.key.shape
        read = (weight @ values).reshape(batch, height, width, self.num_objects, -1)
        return read.permute(3, 0, 4, 1, 2).flatten(0, 1)


def _rows(feature: Tensor) -> Tensor:
    """[B, C, h, w] as [B, h w, C]."""
    return feature.flatten(2).mT
