"""Asks Grounding DINO for nouns in frames and turns what it answers into detections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_convert, nms  # type: ignore[import-untyped]

from pipeline.models.grounding_dino.network import ask
from pipeline.models.grounding_dino.prompt import Prompt, prompts
from pipeline.models.grounding_dino.settings import ARCHITECTURES, Frame, GroundingDino
from pipeline.records import Detection
from shards.rle import Box

if TYPE_CHECKING:
    from pipeline.models.grounding_dino_hf import PretrainedGroundingDino

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in 0-1
STD = (0.229, 0.224, 0.225)

DIGITS = 4
"""Decimals of a score that are kept: those beyond change with the number of frames in a forward pass."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One row of a forward pass."""

    number: int  # of the frame in the batch
    size: tuple[int, int]  # of the frame, [H, W]
    image: Tensor  # [3, h, w], the network's input
    prompt: Prompt


class Detector:
    """The function that `GroundingDino.open` gives."""

    def __init__(self, settings: GroundingDino, network: Any) -> None:
        cuda = torch.cuda.is_available()
        self.settings: GroundingDino | PretrainedGroundingDino = settings
        self.device = torch.device(settings.device if settings.device != "auto" else "cuda" if cuda else "cpu")
        self.network = network.to(self.device)
        self.tokenizer: Any = network.tokenizer
        self.least_side = ARCHITECTURES[settings.size].least_side

    def __call__(self, batch: Sequence[tuple[Frame, tuple[str, ...]]]) -> list[tuple[Detection, ...]]:
        found: list[list[Detection]] = [[] for _ in batch]
        by_shape: dict[torch.Size, list[Question]] = {}
        for question in self._questions(batch):
            by_shape.setdefault(question.image.shape, []).append(question)
        for questions in by_shape.values():
            probabilities, boxes = self._answer(questions)
            for row, question in enumerate(questions):
                found[question.number] += self._detections(question, probabilities[row], boxes[row])
        return [tuple(detections) for detections in found]

    def _questions(self, batch: Sequence[tuple[Frame, tuple[str, ...]]]) -> Iterator[Question]:
        s = self.settings
        for number, (frame, nouns) in enumerate(batch):
            asked = prompts(nouns, self.tokenizer)
            if asked:
                size = frame.shape[0], frame.shape[1]
                image = to_image(frame, input_size(size, s.short_side, s.long_side, self.least_side))
                yield from (Question(number=number, size=size, image=image, prompt=prompt) for prompt in asked)

    @torch.inference_mode()
    def _answer(self, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        """Each query's probability of each token, [N, Q, 256], and its box, cxcywh in 0-1 of the frame, [N, Q, 4]."""
        images = torch.stack([question.image for question in questions]).to(self.device)
        logits, boxes = self.ask(images, [question.prompt.text for question in questions])
        return logits.sigmoid().cpu(), boxes.cpu()

    def ask(self, images: Tensor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Logits [B, Q, 256] and boxes [B, Q, 4] of the network for images [B, 3, h, w], each with its prompt."""
        return ask(self.network, images, texts)

    def _detections(self, question: Question, probabilities: Tensor, boxes: Tensor) -> Iterator[Detection]:
        height, width = question.size
        pixels = box_convert(boxes, "cxcywh", "xyxy") * torch.tensor([width, height, width, height])
        for noun, tokens in question.prompt.tokens.items():
            own = probabilities[:, tokens]  # [Q, the noun's tokens]
            scores, text_scores = own.amax(1), own.mean(1)
            above = (scores > self.settings.box_threshold) & (text_scores > self.settings.text_threshold)
            candidates = above.nonzero()[:, 0]
            for query in candidates[nms(pixels[candidates], scores[candidates], self.settings.nms_iou)].tolist():
                yield Detection(
                    noun=noun,
                    frame=0,
                    box=to_box(pixels[query].tolist(), question.size),
                    score=round(scores[query].item(), DIGITS),
                    text_score=round(text_scores[query].item(), DIGITS),
                )


def input_size(size: tuple[int, int], short_side: int, long_side: int, least_side: int) -> tuple[int, int]:
    """[H, W] of a frame -> of the network's input: in proportion, but for frames too narrow for `least_side`."""
    shorter, longer = min(size), max(size)
    short = min(short_side, round(long_side * shorter / longer))
    long = int(short * longer / shorter)
    if short < least_side:
        short, long = least_side, long_side
    return (short, long) if size[0] <= size[1] else (long, short)


def to_image(frame: Frame, size: tuple[int, int]) -> Tensor:
    """[H, W, 3] -> [3, h, w], normalised. PIL's antialiased bilinear, which the published weights were trained on."""
    resized = np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    image = torch.from_numpy(resized.copy()).permute(2, 0, 1) / 255
    return (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def to_box(xyxy: Sequence[float], size: tuple[int, int]) -> Box:
    """Edges in pixels -> the half-open box of the nearest whole ones that lies in the frame and has an inside."""
    x0, x1 = _span(xyxy[0], xyxy[2], size[1])
    y0, y1 = _span(xyxy[1], xyxy[3], size[0])
    return x0, y0, x1, y1


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    first = min(max(round(start), 0), length - 1)
    return first, max(min(round(end), length), first + 1)
