"""Trains the embedded Grounding DINO: its backbone alone first, by a dense head, then the whole."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from groundingdino.util.misc import NestedTensor  # type: ignore[import-untyped]
from safetensors.torch import save
from torch import Tensor, nn

from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.prompts import question
from pipeline.embedded.tasks.set_losses import Boxes, Targets, anchors, dense_losses, matched_losses
from pipeline.embedded.tasks.task import TRAINING_SEED, VALIDATION_SEED
from pipeline.embedded.tasks.text_encoder import write_text_encoder
from pipeline.embedded.tasks.views import View, batch_of_views, normalised, pictures, view
from pipeline.embedded.world import World
from pipeline.models.grounding_dino.network import LEFTOVERS, ConvBackbone, ask, build
from pipeline.models.grounding_dino.settings import ARCHITECTURES
from pipeline.models.weights import load_weights

FOLDER = "grounding_dino"

PRIOR = -4.0
"""Logit of anything being anywhere, before anything is learnt."""

Batch = dict[str, Tensor]
Spelled = dict[str, list[int]]  # noun -> the tokens that name it


class BackboneTask:
    """Features of the practice world's nouns for the detector to begin with: without, it hardly learns them."""

    name = "backbone"
    steps = 1200
    learning_rate = 1e-3
    warmup = 100
    weight_decay = 1e-4
    clip = 5.0
    size = 32  # of a batch

    def network(self, runs: Path) -> "DenseDetector":  # noqa: ARG002
        return DenseDetector().to(memory_format=torch.channels_last)

    def trained(self, weights: Path) -> nn.Module:
        raise ValueError(f"{weights}: holds no backbone; the detector that was trained from it is in there")

    def batch(self, step: int) -> Batch:
        views = batch_of_views(step, self.size)
        # The backbone's tokens are the nouns themselves.
        spelled = [{noun: [NOUNS.index(noun)] for noun in _clear(view)} for view in views]
        return {"pictures": pictures(views), **_answers(views, spelled, len(NOUNS))}

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        images = normalised(batch["pictures"])
        with torch.autocast(images.device.type, torch.bfloat16):
            logits, boxes = network(images)
        answer = Boxes(logits.float(), boxes.float())
        return dense_losses(answer, _targets(batch), anchors(*images.shape[-2:]).to(images.device))

    @torch.no_grad()
    def quality(self, network: nn.Module) -> dict[str, float]:
        """Share of the objects that the best box of their noun finds."""
        device = next(network.parameters()).device
        found = []
        for scene in map(World(seed=VALIDATION_SEED).scene, range(200)):
            shown = view(scene, 0)
            logits, boxes = network(normalised(pictures([shown])).to(device))
            for one in shown.objects:
                best = boxes[0, logits[0, :, NOUNS.index(one.noun)].argmax()].cpu()
                found.append((best - torch.tensor(one.box)).abs().sum().item() < 0.1)
        return {"found": sum(found) / len(found)}

    def save(self, network: nn.Module, folder: Path) -> None:
        """Nothing: the detector holds the backbone."""


class DetectorTask:
    """The whole network, from the backbone's run."""

    name = "detector"
    steps = 2600
    learning_rate = 5e-4
    warmup = 150
    weight_decay = 1e-4
    clip = 5.0
    size = 16  # of a batch

    def network(self, runs: Path) -> nn.Module:
        network: Any = build(ARCHITECTURES["embedded"], write_text_encoder(runs / self.name / "text_encoder"))
        _start(network)
        network.backbone[0].load_state_dict(_backbone(runs / BackboneTask.name / "last.pt"))
        network.backbone.to(memory_format=torch.channels_last)
        found: nn.Module = network
        return found

    def trained(self, weights: Path) -> nn.Module:
        own = weights / FOLDER
        network: Any = build(ARCHITECTURES["embedded"], own)
        load_weights(network, own / "model.safetensors", mend="train the detector first", leftovers=LEFTOVERS)
        network.backbone.to(memory_format=torch.channels_last)
        found: nn.Module = network
        return found

    def batch(self, step: int) -> dict[str, Any]:
        views = batch_of_views(step, self.size)
        rng = np.random.Generator(np.random.Philox(key=((TRAINING_SEED + 1) << 64) | step))
        asked = [question(view, rng) for view in views]
        length = 2 + max(one.length for one in asked)
        answers = _answers(views, [one.tokens for one in asked], length)
        return {"pictures": pictures(views), "texts": [one.text for one in asked], **answers}

    def losses(self, network: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        images, targets = normalised(batch["pictures"]), _targets(batch)
        start = anchors(*images.shape[-2:]).to(images.device)
        with torch.autocast(images.device.type, torch.bfloat16), _overheard(network) as said:
            ask(network, images, batch["texts"])
        length = targets.asked.shape[1]
        proposed, *layers = [Boxes(logits[..., :length].float(), boxes) for logits, boxes in _boxes(said, start)]
        losses = {f"dense_{name}": loss for name, loss in dense_losses(proposed, targets, start).items()}
        for number, layer in enumerate(layers):
            losses |= {f"{name}_{number}": loss for name, loss in matched_losses(layer, targets).items()}
        return losses

    def quality(self, network: nn.Module) -> dict[str, float]:
        """At the recipe's default thresholds, of prompts as the pipeline makes them of captions."""
        from pipeline.embedded.tasks.detector_quality import measured

        return measured(network)

    def save(self, network: nn.Module, folder: Path) -> None:
        own = write_text_encoder(folder / FOLDER)
        weights = {name: _half(tensor) for name, tensor in network.state_dict().items()}
        (own / "model.safetensors").write_bytes(save(weights))


class DenseDetector(nn.Module):
    """The detector's backbone, with a box and the nouns' logits for every position."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ConvBackbone()
        self.heads = nn.ModuleList(_head(channels) for channels in ConvBackbone.num_features[1:])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, h, w] -> logits [B, S, 16], boxes [B, S, 4] as cxcywh in 0-1."""
        mask = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool, device=images.device)
        levels = self.backbone(NestedTensor(images, mask)).values()
        maps = [head(level.tensors) for head, level in zip(self.heads, levels, strict=True)]
        answers = torch.cat([found.flatten(2) for found in maps], 2).transpose(1, 2).float()
        start = anchors(*images.shape[-2:]).to(images.device).logit()
        return answers[..., 4:], (answers[..., :4] + start).sigmoid()


def _backbone(run: Path) -> dict[str, Tensor]:
    if not run.is_file():
        raise ValueError(f"{run}: no such run; train the backbone before the detector")
    average = torch.load(run, map_location="cpu", weights_only=True)["average"]
    prefix = "module.backbone."
    return {name.removeprefix(prefix): tensor for name, tensor in average.items() if name.startswith(prefix)}


@dataclass
class _Said:
    """What the parts of the network gave in one pass, in their order."""

    proposed_logits: list[Tensor] = field(default_factory=list)  # [B, S, 256], of every position
    proposed_steps: list[Tensor] = field(default_factory=list)  # [B, S, 4], from its anchor
    logits: list[Tensor] = field(default_factory=list)  # [B, Q, 256], of each layer of the decoder
    steps: list[Tensor] = field(default_factory=list)  # [B, Q, 4], for the next layer's boxes, then for the answers'
    references: list[Tensor] = field(default_factory=list)  # [B, Q, 4], boxes that each layer began with


@contextmanager
def _overheard(network: Any) -> Iterator[_Said]:
    """What only the last layer's answer is left of otherwise: a training needs it all."""
    said, transformer = _Said(), network.transformer
    hooks = [
        part.register_forward_hook(lambda _, __, out, into=into: into.append(out))
        for part, into in (
            (transformer.enc_out_class_embed, said.proposed_logits),
            (transformer.enc_out_bbox_embed, said.proposed_steps),
            (network.class_embed[0], said.logits),  # one for all layers, as the next
            (network.bbox_embed[0], said.steps),
        )
    ]
    hooks.append(transformer.register_forward_hook(lambda _, __, out: said.references.extend(out[1])))
    yield said
    for hook in hooks:
        hook.remove()


def _boxes(said: _Said, start: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and boxes of the encoder's proposals, then of each layer of the decoder."""
    (logits,), (steps,) = said.proposed_logits, said.proposed_steps
    yield logits, (steps.float() + start.logit()).sigmoid()
    answers = zip(said.logits, said.steps[-len(said.logits) :], said.references, strict=False)
    for logits, steps, reference in answers:
        yield logits, (steps.float() + reference.float().logit(1e-3)).sigmoid()


def _start(network: Any) -> None:
    """Starts where nothing is seen anywhere and the image hears what is asked for: the package's start is for BERT's.

    A layer norm of even weights has sum 0, so that constant biases on both sides of the product of image and text
    add a constant to it: the logits' prior.
    """
    (text,) = network.transformer.encoder.text_layers
    norms = network.transformer.decoder.norm, network.transformer.enc_output_norm
    side = abs(PRIOR / network.hidden_dim) ** 0.5
    nn.init.constant_(text.norm2.bias, side)
    for norm in norms:
        nn.init.constant_(norm.weight, 0.1)
        nn.init.constant_(norm.bias, -side)
    (fusion,) = network.transformer.encoder.fusion_layers
    nn.init.constant_(fusion.gamma_v, 0.5)
    nn.init.constant_(fusion.gamma_l, 0.1)


def _half(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()


def _head(channels: int) -> nn.Sequential:
    last = nn.Conv2d(128, 4 + len(NOUNS), 1)
    nn.init.normal_(last.weight, std=0.01)
    last.bias = nn.Parameter(torch.tensor([0.0] * 4 + [PRIOR] * len(NOUNS)))
    return nn.Sequential(
        nn.Conv2d(channels, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128), nn.ReLU(inplace=True), last
    )


def _answers(views: Sequence[View], spelled: Sequence[Spelled], length: int) -> Batch:
    """What is to be found in each view of the nouns that are asked for, as the fields of `Targets`."""
    wanted = [[one for one in view.objects if one.noun in asked] for view, asked in zip(views, spelled, strict=True)]
    shape = len(views), max(1, *map(len, wanted))
    boxes, tokens = torch.full((*shape, 4), 0.5), torch.zeros(*shape, length, dtype=torch.bool)
    real, asked = torch.zeros(shape, dtype=torch.bool), torch.zeros(len(views), length, dtype=torch.bool)
    for row, (objects, known) in enumerate(zip(wanted, spelled, strict=True)):
        asked[row, [place for places in known.values() for place in places]] = True
        for column, one in enumerate(objects):
            boxes[row, column] = torch.tensor(one.box)
            tokens[row, column, known[one.noun]] = True
            real[row, column] = True
    return {"boxes": boxes, "tokens": tokens, "real": real, "asked": asked}


def _targets(batch: Batch) -> Targets:
    return Targets(**{name: batch[name] for name in ("boxes", "tokens", "real", "asked")})


def _clear(view: View) -> set[str]:
    """Nouns that may be asked for: those of which something is seen, but not enough, are neither there nor not."""
    return set(NOUNS) - {one.noun for one in view.objects if not one.clear}
