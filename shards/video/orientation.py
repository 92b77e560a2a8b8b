"""How a stored picture is turned and mirrored to stand upright, from the display matrix that cameras write."""

from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Orientation:
    """First `swap` (rows become columns), then `flip_x` (left and right), then `flip_y` (top and bottom)."""

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """From the frame's display matrix; an angle between the right ones counts as the nearest of them."""
        data = cast(SideData | None, frame.side_data.get("DISPLAYMATRIX"))
        if data is None:
            return cls()
        matrix = np.frombuffer(bytes(data), np.int32).reshape(3, 3).astype(int)
        (a, b), (c, d) = matrix[:2, :2].tolist()  # a stored pixel (x, y) is shown at (ax + cy, bx + dy)
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(swap=True, flip_x=c < 0, flip_y=b < 0)
        return cls(flip_x=a < 0, flip_y=d < 0)

    @property
    def rotation(self) -> int:
        """Degrees clockwise, of 0, 90, 180, 270; where it is mirrored too, those before the mirror (left to right)."""
        turns = {(False, False): 0, (True, True): 180} if not self.swap else {(True, False): 90, (False, True): 270}
        mirrored = (not self.flip_x, self.flip_y)
        return turns[(self.flip_x, self.flip_y)] if (self.flip_x, self.flip_y) in turns else turns[mirrored]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) upright of a stored size; of an upright size, the stored one."""
        return (height, width) if self.swap else (width, height)

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 [H, W, C] as stored -> upright."""
        if self.swap:
            picture = picture.transpose(1, 0, 2)
        if self.flip_x:
            picture = picture[:, ::-1]
        if self.flip_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)

    def filters(self) -> list[tuple[str, dict[str, str]]]:
        """The same as FFmpeg filters (name, options)."""
        steps: list[tuple[str, dict[str, str]]] = []
        if self.swap:
            steps.append(("transpose", {"dir": "cclock_flip"}))
        if self.flip_x:
            steps.append(("hflip", {}))
        if self.flip_y:
            steps.append(("vflip", {}))
        return steps
