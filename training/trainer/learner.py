"""What a training step computes: from a batch to the losses of Eq. 6, everything random drawn for each clip alone."""

from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from training.loader import Batch, LatentCache, Latents
from training.model.base import VideoBase
from training.model.dreamvideo2 import Conditions
from training.model.loss import Losses, offset_noise, reweighted_loss
from training.model.masks import box_masks, resized
from training.model.settings import ModelSettings


class Drawn(NamedTuple):
    """The noise and the timesteps of a batch."""

    noise: Tensor  # float32 [B, C, F, h, w]
    timesteps: Tensor  # int64 [B]


class Encoded(NamedTuple):
    """The latents of a batch."""

    frames: Tensor  # float32 [B, C, F, h, w]
    subjects: Tensor  # [B, C, h, w], as the UNet takes them


class Learner:
    """The frozen base around the model."""

    def __init__(self, base: VideoBase, settings: ModelSettings, cache: LatentCache | None = None) -> None:
        self.base = base
        self._cache = cache
        self._scheduler: Any = base.scheduler
        self.settings = settings

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        """Of a batch on the model's device; `model` may be wrapped by DDP."""
        latents, subjects = self.encoded(batch)
        noise, timesteps = self.drawn(batch, latents)
        noisy = self._scheduler.add_noise(latents, noise, timesteps)
        conditions = self.conditions(batch, subjects)
        predicted = model(noisy, timesteps, conditions)
        how = self.settings.reference.mask_resize if self.settings.reference else "area"
        height, width = latents.shape[-2:]
        masks = resized(conditions.masks, (height, width), how)
        return reweighted_loss(predicted, noise, masks, self.settings.loss.lambda_l)

    def encoded(self, batch: Batch) -> Encoded:
        """The batch's latents; in half precision, and kept, where there is a cache."""
        frames, subjects = batch.frames, batch.subjects
        if not batch.encoded:
            frames, subjects = self.base.encode(frames), self.base.encode(subjects)
            if self._cache is not None:
                frames, subjects = frames.half(), subjects.half()
                _keep(self._cache, batch, frames, subjects)
        latents = rearrange(frames, "b f c h w -> b c f h w").float()
        # In one layout, whether they were read or made: another one would give other last bits.
        return Encoded(latents.contiguous(), subjects.to(self.base.unet.dtype).contiguous())

    def conditions(self, batch: Batch, subjects: Tensor) -> Conditions:
        """What the batch's clips show, and where; `subjects` are the latents of their subject images, [B, C, h, w]."""
        height, width = (side * self.base.stride for side in subjects.shape[-2:])
        text = self.base.read(batch.captions)
        reference = self.settings.reference
        empty = reference is not None and reference.subject_text == "empty"
        return Conditions(
            text=text,
            masks=box_masks(batch.boxes, (height, width)),
            subject=subjects,
            subject_text=self.base.read([""] * len(batch)) if empty else text,
        )

    def drawn(self, batch: Batch, latents: Tensor) -> Drawn:
        """Drawn on the CPU by each clip's own seed, so that neither the device nor the other clips change it."""
        steps = int(self._scheduler.config.num_train_timesteps)
        noises, offsets, timesteps = [], [], []
        for seed in batch.noise_seeds.tolist():
            generator = torch.Generator().manual_seed(seed)
            timesteps.append(torch.randint(steps, (), generator=generator))
            noises.append(torch.randn(latents.shape[1:], generator=generator))
            offsets.append(torch.randn(latents.shape[1], generator=generator))
        noise = offset_noise(torch.stack(noises), torch.stack(offsets), self.settings.loss.offset_noise)
        return Drawn(noise.to(latents.device), torch.stack(timesteps).to(latents.device))


def _keep(cache: LatentCache, batch: Batch, frames: Tensor, subjects: Tensor) -> None:
    parts = (tensor.cpu().numpy() for tensor in (frames, subjects, batch.boxes, batch.present))
    for name, shown, subject, boxes, present in zip(batch.names, *parts, strict=True):
        if name is not None:
            cache.write(name, Latents(frames=shown, subject=subject, boxes=boxes, present=present))
