"""SAM 2.1 as a segmenter of frames, through transformers: the mask of every detection, prompted by its box alone.

Ravi et al., arXiv 2408.00714; Apache-2.0.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import PositiveFloat

from pipeline.models.pretrained import Pretrained
from pipeline.models.segment_anything import DIGITS, Frame, SegmentFrames
from pipeline.records import Detection, Segment
from shards import rle

if TYPE_CHECKING:
    from torch import Tensor


class Sam2Segmenter(Pretrained):
    """Masks of detections by `Sam2Model`, one a box; `model` is one such as facebook/sam2.1-hiera-large.

    `open()` gives a function as `SegmentAnything.open` does, with the same scores. Frames of a call are encoded
    together, the boxes of a frame decoded together.
    """

    stability_offset: PositiveFloat = 1.0  # logits

    @property
    def size(self) -> str:
        """What tells it from other segmenters."""
        return self.model

    def network_class(self) -> Any:
        from transformers import Sam2Model

        return Sam2Model

    def open(self) -> SegmentFrames:
        from transformers import Sam2Processor

        return _Segmenter(self.load_network(), self.load(Sam2Processor), self.stability_offset)


class _Segmenter:
    def __init__(self, network: Any, processor: Any, stability_offset: float) -> None:
        self.network = network
        self.processor = processor
        self.stability_offset = stability_offset

    def __call__(self, batch: Sequence[tuple[Frame, tuple[Detection, ...]]]) -> list[tuple[Segment, ...]]:
        import torch

        found: list[tuple[Segment, ...]] = [() for _ in batch]
        asked = [number for number, (_, detections) in enumerate(batch) if detections]
        if asked:
            with torch.inference_mode():
                inputs = [self._inputs(*batch[number]) for number in asked]
                pixels = torch.cat([each["pixel_values"] for each in inputs]).to(self.network.dtype)
                embeddings = self.network.get_image_embeddings(pixels)
                for place, number in enumerate(asked):
                    own = [level[place : place + 1] for level in embeddings]
                    found[number] = tuple(self._segments(*batch[number], own, inputs[place]["input_boxes"]))
        return found

    def _inputs(self, frame: Frame, detections: tuple[Detection, ...]) -> Any:
        """Pixels [1, 3, h, w] and boxes [1, N, 4] as the network takes them."""
        boxes = [[[float(edge) for edge in detection.box] for detection in detections]]
        return self.processor(images=frame, input_boxes=boxes, return_tensors="pt").to(self.network.device)

    def _segments(
        self, frame: Frame, detections: tuple[Detection, ...], embeddings: "list[Tensor]", boxes: "Tensor"
    ) -> list[Segment]:
        """Masks are enlarged to the frame one by one: many of them at once would fill the memory."""
        answer = self.network(
            image_embeddings=embeddings, input_boxes=boxes.to(self.network.dtype), multimask_output=False
        )
        segments = []
        for k, detection in enumerate(detections):
            logits = self._enlarged(answer.pred_masks[:, k : k + 1], frame)
            if (logits > 0).any():
                segments.append(
                    Segment(
                        detection=detection,
                        mask=rle.encode((logits > 0).cpu().numpy()),
                        predicted_iou=round(answer.iou_scores[0, k, 0].item(), DIGITS),
                        stability=round(self._stability(logits), DIGITS),
                    )
                )
        return segments

    def _enlarged(self, logits: "Tensor", frame: Frame) -> "Tensor":
        """[1, 1, 1, h, w] -> [H, W]."""
        sizes = [frame.shape[:2]]
        (large,) = self.processor.post_process_masks(logits.float(), original_sizes=sizes, binarize=False)
        found: Tensor = large[0, 0]
        return found

    def _stability(self, logits: "Tensor") -> float:
        """IoU of the masks at a higher and a lower threshold: the one lies within the other."""
        return float((logits > self.stability_offset).sum() / (logits > -self.stability_offset).sum())
