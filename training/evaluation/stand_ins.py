"""What stands in for CLIP and DINO in the practice world: parts of the packaged captioner and detector.

They were trained on practice videos alone, and mean nothing elsewhere. They compare what their own tasks made them see,
so their figures stand beside each other and never beside CLIP's or DINO's.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.models.captioning import sampled
from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.pretrained import EMBEDDED, Device, Pretrained, chosen_device
from pipeline.stage import Settings
from training.evaluation.encoders import Embed, Picture
from training.evaluation.metrics import Features

Likelihood: TypeAlias = Callable[[Sequence[tuple[Sequence[Picture], str]]], list[float]]
"""Videos' frames, each with a prompt -> how likely the captioner holds the prompt, 0-1."""


class _Captioner(Pretrained):
    """The packaged captioner's files."""

    packaged: ClassVar[str | None] = "captioner"
    model: str = EMBEDDED

    def network_class(self) -> Any:
        from transformers import AutoModelForImageTextToText

        return AutoModelForImageTextToText


class Sight(Settings):
    """The captioner's FocalNet, which was taught to name object and colour in every patch: greatest over patches."""

    label: ClassVar[str] = "Sight"
    about: ClassVar[str] = "the packaged captioner's FocalNet, greatest over its patches"

    kind: Literal["sight"] = "sight"
    device: Device = "auto"

    def fingerprint(self) -> str:
        return f"{self.about}, {_Captioner().fingerprint()}"

    def open(self) -> Embed:
        network, prepare = _captioner(self.device)[:2]

        @torch.inference_mode()
        def embed(pictures: Sequence[Picture]) -> Features:
            seen = network.model.get_image_features(pixel_values=prepare(pictures)).pooler_output
            return np.stack([patches.amax(0).cpu().numpy() for patches in seen])

        return embed


class CaptionLikelihood(Settings):
    """How likely the captioner holds the prompt, word by word, of frames spread over the video: the geometric mean of
    its words' probabilities. One figure a video; a word that the captioner does not know is passed over."""

    label: ClassVar[str] = "Caption"
    about: ClassVar[str] = "the packaged captioner's likelihood of a word of the prompt, four frames seen"

    kind: Literal["caption_likelihood"] = "caption_likelihood"
    device: Device = "auto"

    def fingerprint(self) -> str:
        return f"{self.about}, {_Captioner().fingerprint()}"

    def open(self) -> Likelihood:
        network, prepare, processor = _captioner(self.device)
        words, frames = processor.tokenizer, 4

        @torch.inference_mode()
        def likelihood(asked: Sequence[tuple[Sequence[Picture], str]]) -> list[float]:
            shown = [clip[number] for clip, _ in asked for number in _spread(len(clip), frames)]
            ids = _tokens([prompt for _, prompt in asked], processor, frames).to(network.device)
            scores = network(input_ids=ids, pixel_values=prepare(shown)).logits[:, :-1].log_softmax(-1)
            said = ids[:, 1:]
            counts = torch.ones_like(said, dtype=torch.bool)
            for silent in (words.pad_token_id, words.unk_token_id, words.bos_token_id, network.config.image_token_id):
                counts &= said != silent
            chosen = scores.gather(2, said[..., None])[..., 0]
            means: Tensor = (chosen * counts).sum(1) / counts.sum(1)
            return [float(value) for value in means.exp()]

        return likelihood


class DetectorBackbone(Settings):
    """The detector's convolutional backbone at stride 8, where outlines are: the greatest over places.

    A weak one: deeper levels and means tell subjects apart no better than a coin.
    """

    label: ClassVar[str] = "Backbone"
    about: ClassVar[str] = "the packaged detector's backbone at stride 8, greatest over places"

    kind: Literal["detector_backbone"] = "detector_backbone"
    device: Device = "auto"

    def fingerprint(self) -> str:
        return f"{self.about}, {GroundingDino(size='embedded').fingerprint()}"

    def open(self) -> Embed:
        from groundingdino.util.misc import NestedTensor  # type: ignore[import-untyped]

        from pipeline.models.grounding_dino.detector import input_size, to_image

        settings = GroundingDino(size="embedded", device=self.device)
        detector: Any = settings.open()
        backbone = detector.network.backbone

        @torch.inference_mode()
        def embed(pictures: Sequence[Picture]) -> Features:
            found = np.empty((len(pictures), 0), np.float32)
            by_shape: dict[torch.Size, list[tuple[int, Tensor]]] = {}
            for number, picture in enumerate(pictures):
                size = input_size(picture.shape[:2], settings.short_side, settings.long_side, detector.least_side)
                image = to_image(picture, size)
                by_shape.setdefault(image.shape, []).append((number, image))
            for rows in by_shape.values():
                images = torch.stack([image for _, image in rows]).to(detector.device)
                unpadded = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool, device=images.device)
                features = backbone(NestedTensor(images, unpadded))[0][0].tensors.amax((2, 3)).cpu().numpy()
                if not found.size:
                    found = np.empty((len(pictures), features.shape[1]), np.float32)
                found[[number for number, _ in rows]] = features
            return found

        return embed


@lru_cache(maxsize=2)
def _captioner(device: Device) -> tuple[Any, Callable[[Sequence[Picture]], Tensor], Any]:
    """The captioner, what it makes of pictures, and its processor; one for all that ask."""
    from transformers import AutoProcessor

    settings = _Captioner(device=device, dtype="float32")
    network, processor = settings.load_network(), settings.load(AutoProcessor)

    def prepare(pictures: Sequence[Picture]) -> Tensor:
        images = [Image.fromarray(picture) for picture in pictures]
        pixels: Tensor = processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
        return pixels.to(chosen_device(device))

    return network, prepare, processor


def _tokens(prompts: Sequence[str], processor: Any, frames: int) -> Tensor:
    """Places of the frames' patches, then the prompt between its marks, filled up behind."""
    words = processor.tokenizer
    size = processor.image_processor.size
    patches = frames * (size["height"] // processor.patch_size) * (size["width"] // processor.patch_size)
    texts = [f"{words.bos_token} {prompt.lower()} {words.eos_token}" for prompt in prompts]
    tokens: Tensor = words(
        texts, padding=True, padding_side="right", return_tensors="pt", add_special_tokens=False
    ).input_ids
    images = torch.full((len(texts), patches), words.convert_tokens_to_ids(processor.image_token))
    return torch.cat((images, tokens), 1)


def _spread(length: int, frames: int) -> list[int]:
    """`frames` numbers of frames; those of a shorter video come again."""
    numbers = sampled(length, frames)
    return [numbers[place * len(numbers) // frames] for place in range(frames)]
