"""Which colours the numbers of a stored picture mean: its matrix and range, as tagged or as custom has it."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

Matrix: TypeAlias = Literal["bt709", "bt601", "bt2020", "smpte240m", "fcc", "rgb"]

# FFmpeg's AVColorSpace -> matrix; 2 is "unspecified"
_TAGGED: dict[int, Matrix] = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",
}
_SWSCALE: dict[Matrix, int] = {
    "bt709": Colorspace.ITU709,
    "bt601": Colorspace.ITU601,
    "bt2020": Colorspace.BT2020,
    "smpte240m": Colorspace.SMPTE240M,
    "fcc": Colorspace.FCC,
    "rgb": Colorspace.ITU709,
}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True, kw_only=True, slots=True)
class Colour:
    """How Y'CbCr was made from RGB, and whether it uses all 256 values."""

    matrix: Matrix
    full_range: bool

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """As tagged; without a tag BT.709 from HD on (over 1024 wide or 576 high), else BT.601."""
        if frame.format.is_rgb or frame.format.has_palette:
            return cls(matrix="rgb", full_range=True)
        by_size: Matrix = "bt709" if frame.width > 1024 or frame.height > 576 else "bt601"
        tagged = _TAGGED.get(frame.colorspace, by_size)
        full_range = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        return cls(matrix=by_size if tagged == "rgb" else tagged, full_range=full_range)

    @property
    def swscale_matrix(self) -> int:
        return _SWSCALE[self.matrix]

    @property
    def swscale_range(self) -> int:
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG
