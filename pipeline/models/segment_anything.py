"""Segment Anything (Kirillov et al., arXiv 2304.02643): the mask of every detection in a frame."""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from pipeline.models import store
from pipeline.models.catalog import Weights
from pipeline.models.weights import check_weights, load_weights, sha256
from pipeline.records import Detection, Segment
from pipeline.stage import Settings
from shards import rle
from shards.rle import Size

if TYPE_CHECKING:
    from torch import Tensor

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
SegmentFrames: TypeAlias = Callable[[Sequence[tuple[Frame, tuple[Detection, ...]]]], list[tuple[Segment, ...]]]

WEIGHTS = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
    "embedded": "segment_anything.safetensors",
}
"""Each size's weights, by their name in the catalog."""

BOXES = 64
"""Most boxes of a forward pass of the decoder, whose memory grows with them."""

DIGITS = 4
"""Decimals of a score that are kept: those beyond change with the number of frames in a forward pass."""


class SegmentAnything(Settings):
    """Masks of detections, each prompted by its box alone.

    `open()` gives a function from frames, each with its detections, to each frame's segments in the detections'
    order. A frame is encoded once, frames of a call together; so are all their boxes decoded, one mask a box. A
    detection for which the network draws nothing has no segment. `predicted_iou` is the network's own guess,
    and may leave 0-1 a little; `stability` is the IoU of the masks at `stability_offset` above and below the
    threshold of the logits.
    """

    checkpoint: str | None = None  # path of the weights; None is the catalog's file of `size`
    size: Literal["vit_b", "vit_l", "vit_h", "embedded"] = "vit_h"
    stability_offset: PositiveFloat = 1.0  # logits; the package's default
    device: str = "auto"

    def weights(self) -> tuple[Weights, ...]:
        """What it loads."""
        return (store.weights_of(self.checkpoint, WEIGHTS[self.size]),)

    def fingerprint(self) -> str:
        """Digest of the weights, and the version of the code behind them."""
        return f"{sha256(self._checkpoint())}, segment-anything {version('segment-anything')}"

    def open(self) -> SegmentFrames:
        import torch

        network = build(self.size)
        load_weights(network, self._checkpoint(), mend=self._mend())
        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        return Segmenter(network.eval().to(device), self.stability_offset)

    def check(self) -> None:
        """Holds the weights' names and shapes against the network. Raises `ValueError` where they do not fit."""
        check_weights(build(self.size), self._checkpoint(), mend=self._mend())

    def _checkpoint(self) -> Path:
        return store.checkpoint_path(self.checkpoint, WEIGHTS[self.size])

    def _mend(self) -> str:
        return f"size {self.size} takes {WEIGHTS[self.size]}"


class Segmenter:
    """The function that `SegmentAnything.open` gives."""

    def __init__(self, network: Any, stability_offset: float) -> None:
        from segment_anything.utils.transforms import ResizeLongestSide  # type: ignore[import-untyped]

        self.network = network
        self.stability_offset = stability_offset
        self.transform = ResizeLongestSide(network.image_encoder.img_size)

    def __call__(self, batch: Sequence[tuple[Frame, tuple[Detection, ...]]]) -> list[tuple[Segment, ...]]:
        import torch

        found: list[list[Segment]] = [[] for _ in batch]
        asked = [number for number, (_, detections) in enumerate(batch) if detections]
        if asked:
            with torch.inference_mode():
                images = [self._image(batch[number][0]) for number in asked]
                embeddings = self.network.image_encoder(torch.stack([self.network.preprocess(i) for i in images]))
                prompts = [
                    _Prompt(place, batch[number][0].shape[:2], (image.shape[1], image.shape[2]), detection)
                    for place, (number, image) in enumerate(zip(asked, images, strict=True))
                    for detection in batch[number][1]
                ]
                for prompt, segment in self._segments(prompts, embeddings):
                    found[asked[prompt.place]].append(segment)
        return [tuple(segments) for segments in found]

    def _image(self, frame: Frame) -> "Tensor":
        """[H, W, 3] -> [3, h, w] in 0-255, its longest side the network's."""
        import torch

        return torch.from_numpy(self.transform.apply_image(frame)).to(self.network.device).permute(2, 0, 1)

    def _segments(self, prompts: "list[_Prompt]", embeddings: "Tensor") -> "Iterator[tuple[_Prompt, Segment]]":
        """Masks are enlarged to their frames one by one: many of them at once would fill the memory."""
        for first in range(0, len(prompts), BOXES):
            some = prompts[first : first + BOXES]
            logits, ious = decode(self.network, embeddings[[prompt.place for prompt in some]], self._boxes(some))
            for prompt, small, iou in zip(some, logits, ious.tolist(), strict=True):
                large = self.network.postprocess_masks(small[None], prompt.shown, prompt.size)[0, 0]  # [H, W]
                mask = large > self.network.mask_threshold
                if mask.any():
                    yield (
                        prompt,
                        Segment(
                            detection=prompt.detection,
                            mask=rle.encode(mask.cpu().numpy()),
                            predicted_iou=round(iou, DIGITS),
                            stability=round(self._stability(large), DIGITS),
                        ),
                    )

    def _boxes(self, prompts: "list[_Prompt]") -> "Tensor":
        """[N, 4] in pixels of the network's input."""
        import torch

        boxes = [self.transform.apply_boxes(np.array([prompt.detection.box]), prompt.size) for prompt in prompts]
        return torch.from_numpy(np.concatenate(boxes)).float().to(self.network.device)

    def _stability(self, logits: "Tensor") -> float:
        """IoU of the masks at a higher and a lower threshold: the one lies within the other."""
        threshold = self.network.mask_threshold
        inner = (logits > threshold + self.stability_offset).sum()
        outer = (logits > threshold - self.stability_offset).sum()
        return float(inner / outer)


class _Prompt(NamedTuple):
    """A box to decode."""

    place: int  # of its frame's embedding
    size: Size  # of the frame
    shown: Size  # of the frame as the network sees it
    detection: Detection


def build(size: Literal["vit_b", "vit_l", "vit_h", "embedded"]) -> Any:
    """A `Sam` with fresh weights."""
    if size == "embedded":
        from pipeline.models.segment_anything_small import build_small

        return build_small()
    from segment_anything import sam_model_registry  # type: ignore[import-untyped]

    return sam_model_registry[size]()


def decode(network: Any, embeddings: "Tensor", boxes: "Tensor") -> "tuple[Tensor, Tensor]":
    """What `network.mask_decoder` gives, of each box in its own picture, for one mask a box.

    Embeddings [N, C, h, w] of the picture of each box, and boxes [N, 4] in pixels of the network's input
    -> logits [N, 1, 4 h, 4 w], and the guess of each mask's IoU [N].
    """
    import torch

    decoder = network.mask_decoder
    sparse, dense = network.prompt_encoder(points=None, boxes=boxes, masks=None)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(boxes), -1, -1), sparse], 1)
    place = network.prompt_encoder.get_dense_pe().expand_as(embeddings)
    answers, seen = decoder.transformer(embeddings + dense, place, tokens)
    detail = decoder.output_upscaling(seen.transpose(1, 2).view_as(embeddings))  # [N, C / 8, 4 h, 4 w]
    mask = decoder.output_hypernetworks_mlps[0](answers[:, 1])  # [N, C / 8]
    logits = (mask[:, None] @ detail.flatten(2)).view(len(boxes), 1, *detail.shape[2:])
    return logits, decoder.iou_prediction_head(answers[:, 0])[:, 0]
