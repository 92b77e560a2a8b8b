"""CLIP and DINO, by their name on the hub or a folder: pictures and prompts to features."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode  # type: ignore[import-untyped]
from torchvision.transforms.v2 import functional as transforms

from pipeline.models.pretrained import Precision, Pretrained
from training.evaluation.metrics import Features

Picture: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]  # [H, W, 3], RGB
Embed: TypeAlias = Callable[[Sequence[Picture]], Features]
Square: TypeAlias = Literal["crop", "squash"]


class Input(NamedTuple):
    """What a network expects of a picture."""

    resize: int  # pixels of the shorter side, before the crop
    crop: int  # pixels of the square that the network sees
    mean: tuple[float, float, float]  # of RGB in 0-1
    std: tuple[float, float, float]


CLIP_INPUT = Input(224, 224, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
DINO_INPUT = Input(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The paper's: resized to 256, bicubic, the middle 224, ImageNet's mean and deviation."""


class Encoder(Pretrained):
    """What CLIP and DINO have in common. `open()` gives a function from pictures of any sizes to a row for each."""

    square: Square = "crop"
    """How a picture that is not square, and a box's region, become the square that the network sees: its middle, as the
    networks' own preprocessing does, or all of it, squashed. The paper is silent."""

    dtype: Precision = "float32"


class Clip(Encoder):
    """Any `CLIPModel` of transformers."""

    label: ClassVar[str] = "CLIP"
    about: ClassVar[str] = "CLIP"

    kind: Literal["clip"] = "clip"
    model: str = "openai/clip-vit-base-patch32"

    def network_class(self) -> Any:
        from transformers import CLIPModel

        return CLIPModel

    def open(self) -> "OpenClip":
        return OpenClip(self)


class OpenClip:
    """The function that `Clip.open` gives; `read` is its text side."""

    def __init__(self, settings: Clip) -> None:
        from transformers import AutoTokenizer

        self.network = settings.load_network()
        self.tokenizer = settings.load(AutoTokenizer)
        self.square = settings.square
        self.input = _sized(CLIP_INPUT, self.network.config.vision_config.image_size)

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Picture]) -> Features:
        pixels = prepared(pictures, self.input, self.square)
        found = self.network.get_image_features(pixel_values=pixels.to(self.network.device, self.network.dtype))
        return _rows(found)

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Features:
        """A row for each text; one that is longer than CLIP reads is cut."""
        length = self.network.config.text_config.max_position_embeddings
        words = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        return _rows(self.network.get_text_features(**words.to(self.network.device)))


class Dino(Encoder):
    """Any vision transformer that transformers loads as `AutoModel`; its class token, after the last layer's norm."""

    label: ClassVar[str] = "DINO"
    about: ClassVar[str] = "DINO"

    kind: Literal["dino"] = "dino"
    model: str = "facebook/dino-vits16"

    def network_class(self) -> Any:
        from transformers import AutoModel

        return AutoModel

    def open(self) -> Embed:
        network = self.load_network()
        expects = _sized(DINO_INPUT, network.config.image_size)

        @torch.inference_mode()
        def embed(pictures: Sequence[Picture]) -> Features:
            pixels = prepared(pictures, expects, self.square).to(network.device, network.dtype)
            return _rows(network(pixel_values=pixels).last_hidden_state[:, 0])

        return embed


def prepared(pictures: Sequence[Picture], expects: Input, square: Square) -> Tensor:
    """[N, 3, crop, crop], normalised; bicubic, antialiased. Pictures of one size are resized together."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number, picture in enumerate(pictures):
        by_size.setdefault(picture.shape, []).append(number)
    whole = torch.empty(len(pictures), 3, expects.crop, expects.crop)
    for numbers in by_size.values():
        some = torch.from_numpy(np.stack([pictures[number] for number in numbers])).permute(0, 3, 1, 2)
        whole[numbers] = _squared(some, expects, square).float() / 255
    return transforms.normalize(whole, list(expects.mean), list(expects.std))  # type: ignore[no-any-return]


def _squared(pictures: Tensor, expects: Input, square: Square) -> Tensor:
    """uint8 [N, 3, H, W] -> [N, 3, crop, crop]"""
    size = [expects.resize] if square == "crop" else [expects.crop] * 2
    resized = transforms.resize(pictures, size, InterpolationMode.BICUBIC, antialias=True)
    cropped: Tensor = transforms.center_crop(resized, [expects.crop] * 2)
    return cropped


def _sized(expects: Input, side: int) -> Input:
    """The same for a network of another input size, in proportion."""
    return expects._replace(resize=round(expects.resize * side / expects.crop), crop=side)


def _rows(found: Any) -> Features:
    """Features as transformers gives them, in any of its versions' forms."""
    tensor = found if isinstance(found, Tensor) else found.pooler_output
    rows: Features = tensor.float().cpu().numpy()
    return rows
