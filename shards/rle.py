"""Masks as run lengths: COCO's compressed RLE, one ASCII string per frame and track.

A mask is read column by column as alternating runs of background and subject, background first (of length 0
if need be). From the fourth run on, a run is stored as its difference to the run two before it. A number is
cut into groups of 5 bits, lowest first, two's complement; a character is 48 + the group, + 32 where another
follows. A clip is parsed, drawn or written in one sweep of numpy, with no loop over runs or characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rle: TypeAlias = str  # COCO `counts`: column-major run lengths, background first, 5 bits a character
Size: TypeAlias = tuple[int, int]  # (height, width), pixels
Box: TypeAlias = tuple[int, int, int, int]  # x0, y0, x1, y1: half-open pixel coordinates

_Ints: TypeAlias = NDArray[np.int64]

_GROUPS = 7  # groups of 5 bits that hold any difference of two 32-bit run lengths


def encode(mask: NDArray[np.bool_]) -> Rle:
    """Run lengths of `mask`, bool [H, W]; an empty mask gives its one run of background."""
    _check_shape(mask[None])
    return _encode(mask[None])[0]


def encode_clip(masks: NDArray[np.bool_]) -> tuple[Rle | None, ...]:
    """Run lengths of every frame of `masks`, bool [T, H, W]; `None` for a frame without a pixel."""
    _check_shape(masks)
    present = [bool(mask.any()) for mask in masks]
    if not any(present):
        return (None,) * len(masks)
    strings = iter(_encode(masks if all(present) else masks[present]))
    return tuple(next(strings) if there else None for there in present)


def decode(rle: Rle, size: Size) -> NDArray[np.bool_]:
    """The mask, bool [H, W]. Raises `ValueError` where `rle` is not a mask of this size."""
    mask: NDArray[np.bool_] = _draw(_parse([rle], size), [0], 1)[0]
    return mask


def decode_clip(rles: Sequence[Rle | None], size: Size) -> NDArray[np.bool_]:
    """All masks, bool [T, H, W]; `None` gives a frame of False. Raises `ValueError` naming the bad frame."""
    present = [t for t, rle in enumerate(rles) if rle is not None]
    strings = [rle for rle in rles if rle is not None]
    if not strings:
        return np.zeros((len(rles), *size), bool)
    try:
        runs = _parse(strings, size)
    except _Malformed as error:
        raise ValueError(f"frame {present[error.index]}: {error}") from None
    return _draw(runs, present, len(rles))


def area(rle: Rle, size: Size) -> int:
    """Pixels of the mask. Raises `ValueError` where `rle` is not a mask of this size."""
    return int(_parse([rle], size).counts[1::2].sum())


def areas(rles: Sequence[Rle | None], size: Size) -> list[int | None]:
    """Pixels of each of a clip's masks, [T]; `None` where there is none. Raises `ValueError` as `area` does."""
    strings = [rle for rle in rles if rle is not None]
    if not strings:
        return [None] * len(rles)
    runs = _parse(strings, size)
    subject = runs.place % 2 == 1
    pixels = iter(np.bincount(runs.owner[subject], runs.counts[subject], minlength=len(rles)).astype(int).tolist())
    return [None if rle is None else next(pixels) for rle in rles]


def box(rle: Rle, size: Size) -> Box | None:
    """The tight box, `None` for an empty mask. Raises `ValueError` where `rle` is not a mask of this size."""
    counts = _parse([rle], size).counts
    ends = counts.cumsum()[1::2]
    starts = ends - counts[1::2]
    starts, lasts = starts[ends > starts], ends[ends > starts] - 1  # first and last pixel of each run
    if not starts.size:
        return None
    height = size[0]
    x0, x1 = int(starts[0]) // height, int(lasts[-1]) // height + 1
    if (starts // height != lasts // height).any():  # a run over a column's edge touches bottom and top
        return x0, 0, x1, height
    return x0, int((starts % height).min()), x1, int((lasts % height).max()) + 1


def iou(a: Rle, b: Rle, size: Size) -> float:
    """Shared pixels over pixels of either, 0-1; two empty masks are the same mask: 1.0."""
    ends_a, ends_b = (_parse([rle], size).counts.cumsum() for rle in (a, b))
    edges = np.sort(np.concatenate((ends_a, ends_b)))
    starts = np.concatenate(([0], edges[:-1]))
    in_a, in_b = (np.searchsorted(ends, starts, side="right") % 2 == 1 for ends in (ends_a, ends_b))
    lengths = edges - starts
    union = int(lengths[in_a | in_b].sum())
    return int(lengths[in_a & in_b].sum()) / union if union else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Runs:
    """Run lengths of several masks, one after the other."""

    counts: _Ints  # [N]
    owner: _Ints  # [N], which mask a run belongs to
    place: _Ints  # [N], number of the run in its mask; odd ones are the subject's
    size: Size


class _Malformed(ValueError):  # noqa: N818  seen from outside it is a ValueError
    """String `index` is not a mask of the given size."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index


def _check_shape(masks: NDArray[np.bool_]) -> None:
    if masks.dtype != np.bool_ or masks.ndim != 3 or 0 in masks.shape[1:]:
        found = f"this is {masks.dtype} {masks.shape}"
        raise ValueError(f"a mask is a bool array of [H, W], a clip's masks are one of [T, H, W]; {found}")


def _encode(masks: NDArray[np.bool_]) -> list[Rle]:
    # A pixel starts a run where it differs from the one above it; above the first of a column stands the last
    # of the column before, above the first of all background. Found row by row, as the array lies in memory.
    _, height, width = masks.shape
    changed = masks.copy()
    changed[:, 1:] ^= masks[:, :-1]
    changed[:, 0, 1:] ^= masks[:, -1, :-1]
    frame, y, x = np.unravel_index(np.flatnonzero(changed), masks.shape)
    firsts = np.arange(len(masks)) * (height * width)
    # A mask that starts with the subject has its first pixel twice in here: a background run of length 0.
    starts = np.sort(np.concatenate((firsts, frame * (height * width) + x * height + y)))
    return _write(np.diff(starts, append=masks.size), np.bincount(frame, minlength=len(masks)) + 1)


def _write(counts: _Ints, runs: _Ints) -> list[Rle]:
    """Strings of masks that have `runs` run lengths each, `counts` one after the other."""
    numbers = counts.copy()
    place = _places(runs)
    later = np.flatnonzero(place > 2)
    numbers[later] -= counts[later - 2]
    group = np.arange(_GROUPS)
    # Groups a number needs: as many as leave nothing but its sign beyond their last bit.
    beyond = numbers[:, None] >> (5 * group + 4)
    needed = 1 + ((beyond != 0) & (beyond != -1)).sum(axis=1)
    characters = 48 + ((numbers[:, None] >> (5 * group)) & 31) + 32 * (group < needed[:, None] - 1)
    text = characters[group < needed[:, None]].astype(np.uint8).tobytes().decode("ascii")
    ends = np.cumsum(needed)[np.cumsum(runs) - 1].tolist()
    return [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _places(lengths: _Ints) -> _Ints:
    """0, 1, ... lengths[0]-1, 0, 1, ... lengths[1]-1, ..."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _parse(strings: Sequence[Rle], size: Size) -> _Runs:
    numbers, runs = _numbers(strings)
    owner, place = np.repeat(np.arange(len(strings)), runs), _places(runs)
    counts = _undo_differences(numbers, owner, place)
    _prove(counts, owner, len(strings), size)
    return _Runs(counts=counts, owner=owner, place=place, size=size)


def _numbers(strings: Sequence[Rle]) -> tuple[_Ints, _Ints]:
    """The numbers that stand in `strings`, one after the other, and how many stand in each."""
    for index, string in enumerate(strings):
        if not string or not string.isascii():
            raise _Malformed(index, f"{string[:20]!r} is not a run-length string")
    codes = np.frombuffer("".join(strings).encode("ascii"), np.uint8).astype(np.int64) - 48
    owner = np.repeat(np.arange(len(strings)), [len(string) for string in strings])
    if ((codes < 0) | (codes > 63)).any():
        at = int(np.flatnonzero((codes < 0) | (codes > 63))[0])
        raise _Malformed(int(owner[at]), f"character {chr(int(codes[at]) + 48)!r} is none of run lengths")
    final = codes < 32
    lasts = np.cumsum([len(string) for string in strings]) - 1
    if not final[lasts].all():
        raise _Malformed(int(np.flatnonzero(~final[lasts])[0]), "the string breaks off inside a run length")
    ends = np.flatnonzero(final)
    starts = np.concatenate(([0], ends[:-1] + 1))
    groups = ends - starts + 1
    if (groups > _GROUPS).any():
        raise _Malformed(int(owner[starts[groups > _GROUPS][0]]), "a run length has more than 32 bits")
    numbers = np.add.reduceat((codes & 31) << (5 * _places(groups)), starts)
    numbers -= np.where(codes[ends] & 16, 1 << (5 * groups), 0)
    return numbers, np.bincount(owner[ends], minlength=len(strings))


def _undo_differences(numbers: _Ints, owner: _Ints, place: _Ints) -> _Ints:
    """Run lengths: a mask's first number, the sums over the 2nd, 4th, ... and over the 3rd, 5th, ..."""
    lane = 3 * owner + np.where(place % 2 == 1, 1, np.where(place > 0, 2, 0))
    order = np.argsort(lane, kind="stable")
    sums = np.cumsum(numbers[order])
    starts = np.flatnonzero(np.diff(lane[order], prepend=-1))
    before = sums[starts] - numbers[order][starts]
    counts = np.empty_like(numbers)
    counts[order] = sums - np.repeat(before, np.diff(starts, append=len(numbers)))
    return counts


def _prove(counts: _Ints, owner: _Ints, masks: int, size: Size) -> None:
    height, width = size
    if (counts < 0).any():
        at = int(np.flatnonzero(counts < 0)[0])
        raise _Malformed(int(owner[at]), f"a run length is negative ({counts[at]})")
    sums = np.zeros(masks, np.int64)
    np.add.at(sums, owner, counts)
    if (sums != height * width).any():
        bad = int(np.flatnonzero(sums != height * width)[0])
        raise _Malformed(bad, f"run lengths sum to {sums[bad]}, not to {height}x{width} = {height * width}")


def _draw(runs: _Runs, frames: Sequence[int], num_frames: int) -> NDArray[np.bool_]:
    """bool [num_frames, H, W]: the masks of `runs`, each at its one of `frames`."""
    # A pixel is set where the pixels marked above it in its column, itself among them, are odd in number: where a
    # run starts, where it ends, and at the top of every further column that it reaches. Row after row, as the
    # array lies in memory, this is three times as fast as drawing columns and transposing.
    height, width = runs.size
    subject = (runs.place % 2 == 1) & (runs.counts > 0)
    ends = runs.counts.cumsum()[subject]
    starts = ends - runs.counts[subject]
    first, last = starts // height, (ends - 1) // height  # columns, counted through all masks
    tops = np.repeat(first + 1, last - first) + _places(last - first)
    inside = ends[ends % height > 0]  # a run that ends with its column needs no mark
    masks = np.zeros((num_frames, height, width), np.uint8)
    frame_of = np.asarray(frames)
    # Marks of one kind never meet, so each kind is one assignment; two kinds may: then neither is left.
    for marks in (starts, inside, tops * height):
        column, y = np.divmod(marks, height)
        masks[frame_of[column // width], y, column % width] ^= 1
    if len(masks) == 1:
        np.bitwise_xor.accumulate(masks, axis=1, out=masks)  # a third of the time for one mask, five times it for many
    else:
        for row in range(1, height):
            masks[:, row] ^= masks[:, row - 1]
    return masks.view(np.bool_)
