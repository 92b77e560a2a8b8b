"""Grounding DINO (Liu et al., arXiv 2303.05499): boxes for nouns; `GroundingDino` is its front door."""

from pipeline.models.grounding_dino.settings import GroundingDino

__all__ = ["GroundingDino"]
