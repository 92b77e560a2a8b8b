"""Classifies frames as not safe for work, by any image classifier of transformers that has such a label."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.models.pretrained import Pretrained

Frames: TypeAlias = NDArray[np.uint8]  # [N, H, W, 3], RGB


class Nsfw(Pretrained):
    """`open()` gives a function from frames to `nsfw`: the probability of `label`, of the frame that has the highest.

    It raises `ValueError` where the model knows no such label.
    """

    model: str = "Falconsai/nsfw_image_detection"
    label: str = "nsfw"

    def network_class(self) -> Any:
        from transformers import AutoModelForImageClassification

        return AutoModelForImageClassification

    def open(self) -> Callable[[Frames], dict[str, float]]:
        import torch
        from transformers import AutoImageProcessor

        network, prepare = self.load_network(), self.load(AutoImageProcessor)
        number = self._number(network.config.id2label)

        @torch.inference_mode()
        def classify(frames: Frames) -> dict[str, float]:
            pictures = prepare(images=list(frames), return_tensors="pt")["pixel_values"]
            logits = network(pictures.to(network.device, network.dtype)).logits
            return {"nsfw": round(float(logits.float().softmax(-1)[:, number].max()), 4)}

        return classify

    def _number(self, labels: dict[int, str]) -> int:
        for number, label in labels.items():
            if label.lower() == self.label.lower():
                return number
        raise ValueError(f"{self.model} has no label {self.label!r}: set label to one of {sorted(labels.values())}")
