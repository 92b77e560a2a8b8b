"""Settings of the annotators with small seeded networks, in files as their users' are, and records for them."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.models.deva.build import build as build_deva
from pipeline.models.deva.settings import SMALL
from pipeline.models.deva_tracker import DevaSemiOnline, DevaTracker
from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.segment_anything import SegmentAnything
from pipeline.models.segment_anything import build as build_sam
from pipeline.records import Captioned, Detection, Encoded, Grounded, Named, Video, grow
from shards import video
from tests.pipeline.deva_seeded import repeating_network
from tests.pipeline.grounding_dino_small import seeded_network, write_text_encoder, write_weights


def write_tiny_weights(folder: Path) -> Path:
    """dino.pth with its text encoder bert, sam.pth and deva.pth, of random weights.

    Two see something definite: filling.pth, a Segment Anything whose masks fill the frame, and repeating.pth, a DEVA
    that sees things where they last were.
    """
    write_weights(seeded_network(write_text_encoder(folder / "bert")), folder / "dino.pth")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(build_sam("embedded").state_dict(), folder / "sam.pth")
        torch.save(build_deva(SMALL).state_dict(), folder / "deva.pth")
    torch.save(_filling().state_dict(), folder / "filling.pth")
    torch.save(repeating_network().state_dict(), folder / "repeating.pth")
    return folder


def _filling() -> Any:
    network = build_sam("embedded")
    decoder = network.mask_decoder
    for layer in (decoder.output_upscaling[-2], decoder.output_hypernetworks_mlps[0].layers[-1]):
        nn.init.zeros_(layer.weight)
        nn.init.ones_(layer.bias)
    return network


def tiny_detector(weights: Path, **settings: Any) -> GroundingDino:
    """One that finds every noun of its vocabulary wherever it looks, in a few boxes."""
    return GroundingDino.model_validate(
        {
            "checkpoint": str(weights / "dino.pth"),
            "text_encoder": str(weights / "bert"),
            "size": "embedded",
            "box_threshold": 0.0,
            "text_threshold": 0.0,
            "nms_iou": 0.05,
            "device": "cpu",
        }
        | settings
    )


def tiny_segmenter(weights: Path, file: str = "sam.pth") -> SegmentAnything:
    return SegmentAnything(checkpoint=str(weights / file), size="embedded", device="cpu")


def tiny_tracker(weights: Path) -> DevaTracker:
    return DevaTracker(checkpoint=str(weights / "deva.pth"), size="embedded", device="cpu")


def tiny_semi_online(weights: Path, **settings: Any) -> DevaSemiOnline:
    return DevaSemiOnline.model_validate(
        {"checkpoint": str(weights / "repeating.pth"), "size": "embedded", "mode": "semi_online", "device": "cpu"}
        | settings
    )


def write_clip(path: Path, frames: Iterable[NDArray[np.uint8]], num_frames: int, size: tuple[int, int]) -> Encoded:
    """Frames [H, W, 3] of `size` as a clip's file, nearly lossless, and its record."""
    path.write_bytes(video.encode(iter(frames), range(num_frames), Fraction(1, 8), crf=0))
    return Encoded(
        key=path.stem,
        video=Video(id=f"test/{path.stem}", uri=str(path)),
        start=0.0,
        end=num_frames / 8,
        first_frame=0,
        num_frames=num_frames,
        source_sha256="",
        path=str(path),
        sha256="",
        width=size[1],
        height=size[0],
        pts=tuple(range(num_frames)),
        time_base=(1, 8),
        scale=(1.0, 1.0),
    )


def captioned(record: Encoded, caption: str) -> Captioned:
    return grow(Captioned, record, caption=caption, caption_author="test")


def named(record: Encoded, *subjects: str) -> Named:
    caption = " and ".join(f"a {noun}" for noun in subjects)
    return grow(Named, captioned(record, caption), subjects=subjects, namer="test")


def grounded(record: Encoded, noun: str, *boxes: tuple[int, int, int, int], frame: int = 0) -> Grounded:
    detections = tuple(Detection(noun=noun, frame=frame, box=box, score=0.5, text_score=0.5) for box in boxes)
    return grow(Grounded, named(record, noun), subject=noun, detections=detections, detector="test")
