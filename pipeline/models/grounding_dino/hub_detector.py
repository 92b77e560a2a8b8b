"""Asks Grounding DINO as transformers has it; prompts, scores and boxes are the detector's own."""

from collections.abc import Sequence
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.models.grounding_dino.detector import Detector

if TYPE_CHECKING:
    from pipeline.models.grounding_dino_hf import PretrainedGroundingDino


class HubDetector(Detector):
    """The function that `PretrainedGroundingDino.open` gives."""

    def __init__(self, settings: "PretrainedGroundingDino", network: Any, tokenizer: Any) -> None:
        self.settings = settings
        self.device = torch.device(network.device)
        self.network = network
        self.tokenizer = tokenizer
        self.least_side = least_side(network.config.num_queries)

    def ask(self, images: Tensor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        words = self.tokenizer(list(texts), padding=True, return_token_type_ids=True, return_tensors="pt")
        answer = self.network(pixel_values=images.to(self.network.dtype), **words.to(self.device))
        return answer.logits.float(), answer.pred_boxes.float()


def least_side(num_queries: int) -> int:
    """Pixels of the smallest square with at least so many positions at strides 8 to 64, of which the queries are."""
    sides = count(32, 32)
    return next(side for side in sides if sum(ceil(side / stride) ** 2 for stride in (8, 16, 32, 64)) >= num_queries)
