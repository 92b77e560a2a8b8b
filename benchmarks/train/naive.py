"""The same training step as a straightforward script on diffusers writes it: float32 weights and autocast."""

from typing import Any

import torch
from diffusers import ControlNetModel, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional

from training.model.dreamvideo2 import Conditions
from training.model.motion_module import SpatiotemporalEncoder, controlnet_beside

LAMBDA_M, LAMBDA_L = 0.75, 2.0


class ReferenceProcessor(nn.Module):
    """Keeps what stands behind an attention, and adds what the video sees in it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width, bias=False) for _ in range(4))
        nn.init.zeros_(self.to_out.weight)
        self.heads = heads
        self.plain = AttnProcessor2_0()
        self.mode = "off"
        self.subject: Tensor | None = None
        self.mask: Tensor | None = None

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output: Tensor = self.plain(attn, hidden_states, *args, **kwargs)
        if self.mode == "write":
            self.subject = output
            return output
        assert self.subject is not None
        assert self.mask is not None
        frames, tokens, width = output.shape
        batch = len(self.subject)

        def split(x: Tensor) -> Tensor:
            return x.view(batch, -1, self.heads, width // self.heads).transpose(1, 2)

        seen = functional.scaled_dot_product_attention(
            split(self.to_q(output)), split(self.to_k(self.subject)), split(self.to_v(self.subject))
        )
        seen = self.to_out(seen.transpose(1, 2).reshape(frames, tokens, width))
        rows = int((tokens * self.mask.shape[-2] / self.mask.shape[-1]) ** 0.5 + 0.5)
        mask = functional.interpolate(self.mask, size=(rows, tokens // rows), mode="area")
        mask = mask.reshape(frames, tokens, 1)
        added: Tensor = output + (mask + LAMBDA_M * (1 - mask)) * seen
        return added


class NaiveModel(nn.Module):
    """Frozen UNet, reference processors, encoder and ControlNet."""

    def __init__(self, unet: UNet3DConditionModel, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.unet = unet.requires_grad_(False).eval()
        processors = dict(unet.attn_processors)
        for name in processors:
            if ".attentions." in name:
                attn = unet.get_submodule(name.removesuffix(".processor"))
                processors[name] = ReferenceProcessor(attn.to_out[0].out_features, attn.heads)
        self.references = nn.ModuleList(p for p in processors.values() if isinstance(p, ReferenceProcessor))
        unet.set_attn_processor(processors)
        self.controlnet = ControlNetModel(**controlnet_beside(unet))
        self.controlnet.controlnet_cond_embedding = nn.Identity()
        own = self.controlnet.state_dict()
        self.controlnet.load_state_dict({k: v for k, v in unet.state_dict().items() if k in own}, strict=False)
        self.encoder = SpatiotemporalEncoder(channels, unet.config.block_out_channels[0], 2, 8)

    def forward(self, latents: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        self._tell("write")
        with torch.no_grad():
            self.unet(conditions.subject[:, :, None], torch.zeros_like(timesteps), conditions.subject_text)
        self._tell("read", conditions.masks)
        frames = latents.shape[2]
        down, mid = self.controlnet(
            latents.transpose(1, 2).flatten(0, 1),
            timesteps.repeat_interleave(frames),
            conditions.text.repeat_interleave(frames, 0),
            controlnet_cond=self.encoder(1 - conditions.masks),
            return_dict=False,
        )
        noise: Tensor = self.unet(
            latents,
            timesteps,
            conditions.text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample
        return noise

    def _tell(self, mode: str, mask: Tensor | None = None) -> None:
        for reference in self.references:
            assert isinstance(reference, ReferenceProcessor)
            reference.mode = mode
            reference.mask = mask


def naive_loss(model: nn.Module, latents: Tensor, noise: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
    on_gpu = latents.device.type == "cuda"  # where a CPU has no bfloat16 units, autocast only slows it
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=on_gpu):
        predicted = model(latents, timesteps, conditions)
        mask = functional.interpolate(conditions.masks, size=latents.shape[-2:], mode="area")[:, None]
        loss: Tensor = ((LAMBDA_L * mask + 1 - mask) * (noise - predicted.float()) ** 2).mean()
        return loss
