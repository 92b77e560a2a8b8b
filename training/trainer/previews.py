"""Previews: clips that the model generates on the way from the first batch's subjects and boxes, boxes drawn in."""

import io
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from training.generation.ddim import ddim, guided
from training.loader import Batch
from training.model.base import VideoBase
from training.model.dreamvideo2 import Conditions, DreamVideo2
from training.trainer.learner import Learner
from training.trainer.recipe import Previews

FOLDER = "previews"
COLOUR = (255, 64, 64)


@dataclass(frozen=True, kw_only=True)
class Previewer:
    """The same clips again and again, so that previews of one run can be compared: of the batch it was made with."""

    base: VideoBase
    learner: Learner
    settings: Previews
    batch: Batch  # on the model's device

    @torch.no_grad()
    def draw(self, model: DreamVideo2, step: int) -> dict[str, bytes]:
        """previews/step-N-K.gif, target and generated clip side by side: path -> file."""
        was_training = model.training
        model.eval()
        frames = self.base.decode(rearrange(self._sampled(model), "b c f h w -> b f c h w")).cpu()
        model.train(was_training)
        targets = self.base.decode(self.batch.frames) if self.batch.encoded else self.batch.frames
        files = {}
        for number, (shown, made) in enumerate(zip(targets.cpu(), frames, strict=True)):
            both = np.concatenate([shown.numpy(), made.numpy()], axis=2)
            width = shown.shape[2]
            boxes = self.batch.boxes[number].cpu().numpy()
            beside = boxes + np.array([width, 0, width, 0], np.float32)
            files[f"{FOLDER}/step-{step:08d}-{number}.gif"] = _gif(both, [boxes, beside])
        return files

    def _sampled(self, model: DreamVideo2) -> Tensor:
        """Latents [B, C, F, h, w], from the clips' own noise."""
        latents, subjects = self.learner.encoded(self.batch)
        conditions = self.learner.conditions(self.batch, subjects)
        nothing = conditions._replace(text=self.base.read([""] * len(self.batch)))
        noise, timesteps = self.learner.drawn(self.batch, latents)

        features = model.look(conditions, torch.zeros_like(timesteps))

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            def denoised(what: Conditions) -> Tensor:
                return model.denoise(noisy, timestep, what, features)

            return guided(denoised(conditions), denoised(nothing), self.settings.guidance_scale)

        *_, clip = ddim(predict, noise, self.base.scheduler, self.settings.num_inference_steps)
        return clip


def _gif(frames: NDArray[np.uint8], tracks: list[NDArray[np.float32]]) -> bytes:
    """Frames [F, H, W, 3] with each track's boxes [F, 4] drawn in; a box of no area is none."""
    pictures = []
    for number, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        for boxes in tracks:
            x0, y0, x1, y1 = boxes[number].tolist()
            if x1 > x0 and y1 > y0:
                ImageDraw.Draw(picture).rectangle((x0, y0, x1 - 1, y1 - 1), outline=COLOUR)
        pictures.append(picture)
    sink = io.BytesIO()
    pictures[0].save(sink, "GIF", save_all=True, append_images=pictures[1:], duration=125, loop=0)
    return sink.getvalue()
