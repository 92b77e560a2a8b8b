"""Segment Anything (Kirillov et al., arXiv 2304.02643): the mask of every detection in a frame."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from pipeline.models.weights import load_weights, sha256
from pipeline.records import Detection, Segment
from pipeline.stage import Settings
from shards import rle

if TYPE_CHECKING:
    from torch import Tensor

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
SegmentFrames: TypeAlias = Callable[[Sequence[tuple[Frame, tuple[Detection, ...]]]], list[tuple[Segment, ...]]]

WEIGHTS = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
    "embedded": "the embedded recipe's weights",
}
"""The file that holds each size's weights."""

DIGITS = 4
"""Decimals of a score that are kept: those beyond change with the number of frames in a forward pass."""


class SegmentAnything(Settings):
    """Masks of detections, each prompted by its box alone.

    `open()` gives a function from frames, each with its detections, to each frame's segments in the detections'
    order. A frame is encoded once, frames of a call together; all boxes of a frame are decoded together, one mask a
    box. A detection for which the network draws nothing has no segment. `predicted_iou` is the network's own guess,
    and may leave 0-1 a little; `stability` is the IoU of the masks at `stability_offset` above and below the
    threshold of the logits.
    """

    checkpoint: str | None = None  # path of the weights that `size` needs
    size: Literal["vit_b", "vit_l", "vit_h", "embedded"] = "vit_h"
    stability_offset: PositiveFloat = 1.0  # logits; the package's default
    device: str = "auto"

    def fingerprint(self) -> str:
        """Digest of the weights, and the version of the code behind them."""
        digest = "" if self.checkpoint is None else f"{sha256(self.checkpoint)}, "
        return f"{digest}segment-anything {version('segment-anything')}"

    def open(self) -> SegmentFrames:
        import torch

        if self.checkpoint is None:
            raise ValueError(f"no weights: set `checkpoint` to the path of {WEIGHTS[self.size]}")
        network = build(self.size)
        load_weights(network, self.checkpoint, mend=f"size {self.size} takes {WEIGHTS[self.size]}")
        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        return Segmenter(network.eval().to(device), self.stability_offset)


class Segmenter:
    """The function that `SegmentAnything.open` gives."""

    def __init__(self, network: Any, stability_offset: float) -> None:
        from segment_anything.utils.transforms import ResizeLongestSide  # type: ignore[import-untyped]

        self.network = network
        self.stability_offset = stability_offset
        self.transform = ResizeLongestSide(network.image_encoder.img_size)

    def __call__(self, batch: Sequence[tuple[Frame, tuple[Detection, ...]]]) -> list[tuple[Segment, ...]]:
        import torch

        found: list[tuple[Segment, ...]] = [() for _ in batch]
        asked = [number for number, (_, detections) in enumerate(batch) if detections]
        if asked:
            with torch.inference_mode():
                images = [self._image(batch[number][0]) for number in asked]
                embeddings = self.network.image_encoder(torch.stack([self.network.preprocess(i) for i in images]))
                for number, image, embedding in zip(asked, images, embeddings, strict=True):
                    found[number] = self._segments(*batch[number], embedding, (image.shape[1], image.shape[2]))
        return found

    def _image(self, frame: Frame) -> "Tensor":
        """[H, W, 3] -> [3, h, w] in 0-255, its longest side the network's."""
        import torch

        return torch.from_numpy(self.transform.apply_image(frame)).to(self.network.device).permute(2, 0, 1)

    def _segments(
        self, frame: Frame, detections: tuple[Detection, ...], embedding: "Tensor", input_size: tuple[int, int]
    ) -> tuple[Segment, ...]:
        """Masks are enlarged to the frame one by one: many of them at once would fill the memory."""
        size = frame.shape[0], frame.shape[1]
        logits, ious = self._decode(detections, embedding, size)
        segments = []
        for detection, small, iou in zip(detections, logits, ious.tolist(), strict=True):
            large = self.network.postprocess_masks(small[None], input_size, size)[0, 0]  # [H, W]
            mask = large > self.network.mask_threshold
            if mask.any():
                segments.append(
                    Segment(
                        detection=detection,
                        mask=rle.encode(mask.cpu().numpy()),
                        predicted_iou=round(iou, DIGITS),
                        stability=round(self._stability(large), DIGITS),
                    )
                )
        return tuple(segments)

    def _decode(
        self, detections: tuple[Detection, ...], embedding: "Tensor", size: tuple[int, int]
    ) -> "tuple[Tensor, Tensor]":
        """Of each box: logits at the decoder's size, [N, 1, h, w], and the guess of the mask's IoU, [N]."""
        import torch

        boxes = torch.tensor([d.box for d in detections], dtype=torch.float32, device=self.network.device)
        sparse, dense = self.network.prompt_encoder(
            points=None, boxes=self.transform.apply_boxes_torch(boxes, size), masks=None
        )
        logits, ious = self.network.mask_decoder(
            image_embeddings=embedding[None],
            image_pe=self.network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return logits, ious[:, 0]

    def _stability(self, logits: "Tensor") -> float:
        """IoU of the masks at a higher and a lower threshold: the one lies within the other."""
        threshold = self.network.mask_threshold
        inner = (logits > threshold + self.stability_offset).sum()
        outer = (logits > threshold - self.stability_offset).sum()
        return float(inner / outer)


class EmbeddedSize(Settings):
    """Numbers of the embedded network: a ViT and a decoder for small pictures."""

    image_size: PositiveInt = 160  # pixels of the longest side
    patch_size: PositiveInt = 8
    embed_dim: PositiveInt = 128
    depth: PositiveInt = 4
    num_heads: PositiveInt = 4
    window_size: PositiveInt = 5  # patches
    global_attn_indexes: tuple[int, ...] = (1, 3)  # blocks that see the whole picture
    prompt_embed_dim: PositiveInt = 64
    decoder_depth: PositiveInt = 2
    decoder_mlp_dim: PositiveInt = 128
    decoder_num_heads: PositiveInt = 4


def build(size: Literal["vit_b", "vit_l", "vit_h", "embedded"]) -> Any:
    """A `Sam` with fresh weights."""
    from segment_anything import sam_model_registry  # type: ignore[import-untyped]

    return _build_embedded(EmbeddedSize()) if size == "embedded" else sam_model_registry[size]()


def _build_embedded(size: EmbeddedSize) -> Any:
    from segment_anything.modeling import (  # type: ignore[import-untyped]
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    patches = size.image_size // size.patch_size
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=size.image_size,
            patch_size=size.patch_size,
            embed_dim=size.embed_dim,
            depth=size.depth,
            num_heads=size.num_heads,
            window_size=size.window_size,
            global_attn_indexes=size.global_attn_indexes,
            out_chans=size.prompt_embed_dim,
            use_rel_pos=True,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=size.prompt_embed_dim,
            image_embedding_size=(patches, patches),
            input_image_size=(size.image_size, size.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer_dim=size.prompt_embed_dim,
            transformer=TwoWayTransformer(
                depth=size.decoder_depth,
                embedding_dim=size.prompt_embed_dim,
                num_heads=size.decoder_num_heads,
                mlp_dim=size.decoder_mlp_dim,
            ),
            iou_head_depth=3,
            iou_head_hidden_dim=size.prompt_embed_dim,
        ),
    )
