"""The mask-guided motion module (Sec. 4.2): box masks through a spatiotemporal encoder into a spatial ControlNet."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from diffusers import ConfigMixin, ControlNetModel, ModelMixin, UNet3DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from training.model.settings import MotionSettings


class Residuals(NamedTuple):
    """What the ControlNet adds to the UNet."""

    down: tuple[Tensor, ...]  # to the inputs of the decoder's blocks, [batch_frames channels h w]
    mid: Tensor | None


class SpatiotemporalEncoder(nn.Module):
    """Convolutions in space, attention over time, no convolution over both."""

    def __init__(self, channels: Sequence[int], out_channels: int, temporal_layers: int, heads: int) -> None:
        super().__init__()
        convolutions: list[nn.Module] = [nn.Conv2d(1, channels[0], 3, padding=1), nn.SiLU()]
        for before, after in pairwise(channels):
            convolutions += [nn.Conv2d(before, before, 3, padding=1), nn.SiLU()]
            convolutions += [nn.Conv2d(before, after, 3, padding=1, stride=2), nn.SiLU()]
        self.convolutions = nn.Sequential(*convolutions)
        width = channels[-1]
        self.temporal = nn.ModuleList(
            TransformerTemporalModel(heads, width // heads, width, norm_num_groups=min(32, width // 4))
            for _ in range(temporal_layers)
        )
        self.out = nn.Conv2d(width, out_channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(
        self, control: Float[Tensor, "batch frames height width"]
    ) -> Float[Tensor, "batch_frames channels h w"]:
        x = self.convolutions(rearrange(control, "b f h w -> (b f) 1 h w"))
        for layer in self.temporal:
            (x,) = layer(x, num_frames=control.shape[1], return_dict=False)
        encoded: Tensor = self.out(x)
        return encoded


class MotionModule(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """c_m -> encoder -> ControlNet -> residuals of the UNet."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        controlnet_config: dict[str, Any],
        encoder_channels: Sequence[int] = (16, 32, 96, 256),
        temporal_layers: int = 2,
        temporal_heads: int = 8,
        mid_residual: bool = True,
    ) -> None:
        """`controlnet_config` makes the `ControlNetModel`, see `controlnet_beside`; the rest as in `MotionSettings`."""
        super().__init__()
        self.controlnet = ControlNetModel(**controlnet_config)
        self.controlnet.controlnet_cond_embedding = nn.Identity()  # the encoder stands in its place
        self.encoder = SpatiotemporalEncoder(
            encoder_channels, self.controlnet.config.block_out_channels[0], temporal_layers, temporal_heads
        )
        self.mid_residual = mid_residual
        if not mid_residual:
            self.controlnet.mid_block = None
            self.controlnet.controlnet_mid_block.requires_grad_(False)

    @classmethod
    def beside(cls, unet: UNet3DConditionModel, settings: MotionSettings) -> "MotionModule":
        """One whose residuals fit `unet`, and which starts as `settings` say."""
        module: MotionModule = cls(
            controlnet_beside(unet),
            settings.encoder_channels,
            settings.temporal_layers if settings.encoder == "spatiotemporal" else 0,
            settings.temporal_heads,
            settings.mid_residual,
        )
        if settings.start == "unet":
            own = module.controlnet.state_dict()
            module.controlnet.load_state_dict({k: v for k, v in unet.state_dict().items() if k in own}, strict=False)
        return module

    def forward(
        self,
        latents: Float[Tensor, "batch channels frames h w"],
        timesteps: Int[Tensor, " batch"],
        text: Float[Tensor, "batch words text_width"],
        control: Float[Tensor, "batch frames height width"],
    ) -> Residuals:
        """`control` is c_m at the size of the pixels."""
        frames = control.shape[1]
        down, mid = self.controlnet(
            rearrange(latents, "b c f h w -> (b f) c h w"),
            repeat(timesteps, "b -> (b f)", f=frames),
            repeat(text, "b n c -> (b f) n c", f=frames),
            controlnet_cond=self.encoder(control),
            return_dict=False,
        )
        return Residuals(tuple(down), mid if self.mid_residual else None)


def controlnet_beside(unet: UNet3DConditionModel) -> dict[str, Any]:
    """What a 2D ControlNet is made of whose encoder is the UNet's without its temporal layers."""
    config = unet.config
    return {
        "in_channels": config.in_channels,
        "conditioning_channels": 1,
        "down_block_types": tuple(kind.replace("3D", "2D") for kind in config.down_block_types),
        "block_out_channels": tuple(config.block_out_channels),
        "layers_per_block": config.layers_per_block,
        "downsample_padding": config.downsample_padding,
        "mid_block_scale_factor": config.mid_block_scale_factor,
        "act_fn": config.act_fn,
        "norm_num_groups": config.norm_num_groups,
        "norm_eps": config.norm_eps,
        "cross_attention_dim": config.cross_attention_dim,
        # In a UNet3D's configuration this is the channels of a head, in a ControlNet's the number of heads.
        "attention_head_dim": tuple(width // config.attention_head_dim for width in config.block_out_channels),
        "use_linear_projection": True,
    }
