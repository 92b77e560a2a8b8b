"""Reads what is written in frames, to tell how much of them text covers: RapidOCR, its models in its package."""

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field

from pipeline.models.catalog import CATALOG, Weights
from pipeline.stage import Settings

Frames: TypeAlias = NDArray[np.uint8]  # [N, H, W, 3], RGB
Polygon: TypeAlias = Sequence[tuple[float, float]]  # corners in pixels


class TextReader(Settings):
    """Finds text and reads it, for only what can be read is text: a row of dots or of bricks looks like some.

    `open()` gives a function from frames to `text.share`: the share of the frame that text covers, of the frame with
    the most of it.
    """

    side: int = Field(640, ge=64)  # pixels that the longer side is brought to; what is lower than 8 of them is not read
    min_score: float = Field(0.8, ge=0, le=1)  # the reader's confidence in what it reads
    min_letters: int = Field(3, ge=1)  # of one piece of text: patterns are taken for single letters

    def weights(self) -> tuple[Weights, ...]:
        """What it loads."""
        return (CATALOG["rapidocr-onnxruntime"],)

    def fingerprint(self) -> str:
        names = ("rapidocr-onnxruntime", "onnxruntime")
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)

    def open(self) -> Callable[[Frames], dict[str, float]]:
        from rapidocr_onnxruntime import RapidOCR

        # One worker has one CPU.
        read = RapidOCR(
            intra_op_num_threads=1, inter_op_num_threads=1, det_limit_type="max", det_limit_side_len=self.side
        )
        return lambda frames: {"text.share": max(self._share(read, frame) for frame in frames)}

    def _share(self, read: Any, frame: NDArray[np.uint8]) -> float:
        picture = self._resized(frame)
        found, _ = read(np.ascontiguousarray(np.asarray(picture)[..., ::-1]), use_cls=False)
        covered = Image.new("1", picture.size)
        for corners, letters, score in found or ():
            if score >= self.min_score and len(letters) >= self.min_letters:
                ImageDraw.Draw(covered).polygon([(x, y) for x, y in corners], fill=1)
        return round(float(np.asarray(covered).mean()), 4)

    def _resized(self, frame: NDArray[np.uint8]) -> Image.Image:
        height, width = frame.shape[:2]
        scale = self.side / max(height, width)
        return Image.fromarray(frame).resize((max(1, round(width * scale)), max(1, round(height * scale))))
