"""What a run changes: the trained parts of the model, their optimizer and their average; and how they are kept."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.utils.constants import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shards import Storage
from training.loader import State
from training.model.base import VideoBase
from training.model.dreamvideo2 import SETTINGS, DreamVideo2
from training.model.speed import sped_up
from training.trainer import checkpoints
from training.trainer.checkpoints import Mirror, Snapshot
from training.trainer.parallel import held_like, sharded, whole
from training.trainer.ranks import Ranks
from training.trainer.recipe import STARTS, TrainRecipe

PARTS = ("reference_attention", "motion_module")

Weights = Mapping[str, Mapping[str, Tensor]]  # part -> name -> tensor


class Trainee:
    """The model of `recipe` beside `base`, as training begins until `load` says otherwise."""

    def __init__(self, base: VideoBase, recipe: TrainRecipe, ranks: Ranks) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        model = DreamVideo2.beside(base.unet, recipe.model)
        if recipe.start is not None:
            model.load(STARTS.get(recipe.start, Path(recipe.start)))
        self.model = sped_up(model.to(ranks.device), recipe.speed)
        if recipe.parallel == "fsdp2":
            self.model = sharded(self.model, ranks)
        self.parts: dict[str, Any] = {name: getattr(self.model, name) for name in PARTS if getattr(self.model, name)}
        self._parameters = [p for p in self.model.parameters() if p.requires_grad]
        settings = recipe.optimizer
        self.optimizer = torch.optim.AdamW(
            self._parameters,
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=ranks.device.type == "cuda",
        )
        self._average = _copies(self.parts) if recipe.ema is not None else None
        self._mirror = Mirror(keep=ranks.leads)

    def clipped_norm(self) -> Tensor:
        """The gradient's norm, before it was clipped where the recipe says so."""
        return whole(nn.utils.clip_grad_norm_(self._parameters, self.recipe.optimizer.clip or float("inf")))

    def update(self, step: int) -> float:
        """One step of the optimizer, and of the average; the learning rate that it took."""
        settings = self.recipe.optimizer
        rate = settings.lr * min(1.0, (step + 1) / settings.warmup) if settings.warmup else settings.lr
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self._average is not None and self.recipe.ema is not None:
            for name, part in self.parts.items():
                for key, value in part.state_dict().items():
                    self._average[name][key].lerp_(value, 1 - self.recipe.ema)
        return rate

    def snapshot(self, step: int, stream: str) -> Snapshot:
        """Everything to go on from here; the memory is used again by the next."""
        kept: dict[str, Weights] = {"model": {name: part.state_dict() for name, part in self.parts.items()}}
        if self._average is not None:
            kept["ema"] = self._average
        weights = self._mirror.of(kept, "weights")
        state = {"step": step, "stream": stream, "optimizer": self.optimizer.state_dict(), "rng": torch.get_rng_state()}
        models = {name: lambda folder, own=own: self._write(folder, own) for name, own in weights.items()}
        return Snapshot(step=step, models=models, state=self._mirror.of(state, "state"))

    def load(self, storage: Storage, step: int) -> State:
        """Become what the checkpoint of `step` holds; the stream's state."""
        with tempfile.TemporaryDirectory(prefix="dreamreel-") as aside:
            self._read(checkpoints.fetched(storage, step, "model", Path(aside)), self.parts)
            if self._average is not None:
                folder = checkpoints.fetched(storage, step, "ema", Path(aside))
                for name, own in self._average.items():
                    for key, value in load_file(folder / name / SAFETENSORS_WEIGHTS_NAME).items():
                        own[key].copy_(held_like(value, own[key]))
        state = checkpoints.state_of(storage, step)
        self.optimizer.load_state_dict(self._held_here(state["optimizer"]))
        torch.set_rng_state(state["rng"])
        return State.of_json(state["stream"])

    def _write(self, folder: Path, weights: Weights) -> None:
        """As `DreamVideo2.save_pretrained`, of weights at another moment than the model's."""
        for name, own in weights.items():
            self.parts[name].save_config(folder / name)
            save_file(dict(own), folder / name / SAFETENSORS_WEIGHTS_NAME, {"format": "pt"})
        (folder / SETTINGS).write_text(self.model.settings.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def _read(self, folder: Path, parts: Mapping[str, nn.Module]) -> None:
        for name, part in parts.items():
            own, found = part.state_dict(), load_file(folder / name / SAFETENSORS_WEIGHTS_NAME)
            part.load_state_dict({key: held_like(value, own[key]) for key, value in found.items()})

    def _held_here(self, optimizer: dict[str, Any]) -> dict[str, Any]:
        """The optimizer's state as its parameters are held; its moments have their shapes, its counts have none."""
        held = {
            number: {
                name: held_like(value, self._parameters[number]) if value.ndim else value for name, value in own.items()
            }
            for number, own in optimizer["state"].items()
        }
        return {**optimizer, "state": held}


def _copies(parts: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    return {
        name: {key: value.detach().clone() for key, value in part.state_dict().items()} for name, part in parts.items()
    }
