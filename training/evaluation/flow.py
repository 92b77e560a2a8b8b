"""Optical flow between a video's frames: RAFT of torchvision, and OpenCV's DIS, which needs no weights."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt

from pipeline.models.pretrained import Device, chosen_device
from pipeline.models.weights import load_weights, sha256
from pipeline.stage import Settings

Frames: TypeAlias = NDArray[np.uint8]  # [F, H, W, 3]
Fields: TypeAlias = NDArray[np.float32]  # [F - 1, H, W, 2], pixels, x and y
Follow: TypeAlias = Callable[[Frames], Fields]

LEAST_SIDE = 128
"""Pixels: the least that torchvision's RAFT takes. A smaller frame is enlarged, and its flow brought back to scale."""


class Raft(Settings):
    """RAFT (Teed and Deng, ECCV 2020). VBench's weights are of FlyingChairs and FlyingThings: so are these."""

    label: ClassVar[str] = "RAFT"
    about: ClassVar[str] = "RAFT"

    kind: Literal["raft"] = "raft"
    checkpoint: str | None = None  # a file of torchvision's raft_large; None: torchvision's own `weights`, downloaded
    weights: str = "C_T_V2"  # torchvision's name of them
    num_flow_updates: PositiveInt = 20  # VBench's
    pairs_at_once: PositiveInt = 8
    device: Device = "auto"

    def fingerprint(self) -> str:
        import torchvision  # type: ignore[import-untyped]

        held = self.weights if self.checkpoint is None else f"sha256 {sha256(self.checkpoint)}"
        return f"torchvision {torchvision.__version__}, {held}"

    def open(self) -> Follow:
        network = self._network().eval().to(chosen_device(self.device))

        @torch.inference_mode()
        def follow(frames: Frames) -> Fields:
            if len(frames) < 2:
                return _no_fields(frames)
            images = _images(frames).to(chosen_device(self.device))
            pairs = zip(
                *(torch.split(some, self.pairs_at_once) for some in (images[:-1], images[1:])),
                strict=True,
            )
            found = [network(a, b, num_flow_updates=self.num_flow_updates)[-1].cpu() for a, b in pairs]
            return _scaled_back(torch.cat(found), frames.shape[1:3])

        return follow

    def _network(self) -> Any:
        from torchvision.models.optical_flow import Raft_Large_Weights, raft_large  # type: ignore[import-untyped]

        if self.checkpoint is None:
            try:
                return raft_large(weights=Raft_Large_Weights[self.weights])
            except KeyError:
                known = ", ".join(one.name for one in Raft_Large_Weights)
                raise ValueError(f"flow.weights={self.weights!r}: torchvision has {known}") from None
        network = raft_large(weights=None)
        load_weights(network, Path(self.checkpoint), mend="give a file of torchvision's raft_large")
        return network


class DisFlow(Settings):
    """OpenCV's DIS (Kroeger et al., ECCV 2016), its medium preset: no network, and no weights to fetch."""

    label: ClassVar[str] = "DIS"
    about: ClassVar[str] = "OpenCV's DIS, medium preset"

    kind: Literal["dis"] = "dis"

    def fingerprint(self) -> str:
        return f"opencv {cv2.__version__}"

    def open(self) -> Follow:
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

        def follow(frames: Frames) -> Fields:
            grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
            fields = [flow.calc(a, b, None) for a, b in pairwise(grey)]  # type: ignore[call-overload]
            return np.stack(fields).astype(np.float32) if fields else _no_fields(frames)

        return follow


def _images(frames: Frames) -> torch.Tensor:
    """[F, 3, h, w] from -1 to 1, both sides multiples of 8 and at least `LEAST_SIDE`."""
    height, width = frames.shape[1:3]
    scale = max(1.0, LEAST_SIDE / min(height, width))
    size = tuple(round(side * scale / 8) * 8 for side in (height, width))
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.interpolate(images, size, mode="bilinear")


def _scaled_back(flow: torch.Tensor, size: tuple[int, ...]) -> Fields:
    """In pixels of the frames."""
    height, width = size
    ratio = torch.tensor([width / flow.shape[3], height / flow.shape[2]])[None, :, None, None]
    fields = torch.nn.functional.interpolate(flow * ratio, (height, width), mode="bilinear")
    found: Fields = fields.permute(0, 2, 3, 1).numpy()
    return found


def _no_fields(frames: Frames) -> Fields:
    return np.empty((0, *frames.shape[1:3], 2), np.float32)
