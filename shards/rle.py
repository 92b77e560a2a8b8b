"""Masks as run lengths: COCO's compressed RLE, one ASCII string per frame and track."""

from typing import TypeAlias

Rle: TypeAlias = str  # COCO `counts`: column-major run lengths, background first, 5 bits a character
Size: TypeAlias = tuple[int, int]  # (height, width), pixels
Box: TypeAlias = tuple[int, int, int, int]  # x0, y0, x1, y1: half-open pixel coordinates
