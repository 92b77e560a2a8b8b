"""The index of near-duplicates against a search that compares bit by bit, and its size at 230,000 clips."""

import random
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import record_key
from pipeline.stages.duplicate import DuplicateIndex

ZERO = ("0" * 16,) * 4


def bits(*counts: int) -> tuple[str, ...]:
    """Four hashes with that many bits set."""
    return tuple(f"{(1 << count) - 1:016x}" for count in counts)


def index_of(entries: Sequence[tuple[str, tuple[str, ...]]]) -> DuplicateIndex:
    index = DuplicateIndex()
    for key, phash in entries:
        index.add(key, phash)
    return index


def test_an_empty_index_knows_no_neighbour() -> None:
    assert DuplicateIndex().nearest(ZERO) is None
    assert len(DuplicateIndex()) == 0


def test_a_clip_is_its_own_neighbour() -> None:
    index = index_of([("aa", bits(1, 20, 40, 64)), ("bb", bits(64, 40, 20, 1))])
    assert index.nearest(bits(64, 40, 20, 1)) == (0, "bb")
    assert len(index) == 2


@pytest.mark.parametrize("frame", range(4))
def test_the_frame_that_differs_most_decides(frame: int) -> None:
    counts = [3, 3, 3, 3]
    counts[frame] = 17
    assert index_of([("aa", bits(*counts))]).nearest(ZERO) == (17, "aa")


def test_all_64_bits_count() -> None:
    assert index_of([("aa", ("f" * 16,) * 4)]).nearest(ZERO) == (64, "aa")
    assert index_of([("aa", ("8" + "0" * 15,) * 4)]).nearest(ZERO) == (1, "aa")


def test_the_order_of_frames_matters() -> None:
    assert index_of([("aa", bits(0, 0, 0, 30))]).nearest(bits(30, 0, 0, 0)) == (30, "aa")


@given(st.permutations(["0c", "0b", "0a", "1a"]))
def test_of_equally_near_clips_the_smallest_key_is_named(keys: list[str]) -> None:
    assert index_of([(key, bits(5, 5, 5, 5)) for key in keys]).nearest(ZERO) == (5, "0a")


hashes = st.tuples(*[st.integers(0, 2**64 - 1).map("{:016x}".format)] * 4)


@given(st.dictionaries(st.text("0123456789abcdef", min_size=1, max_size=20), hashes), hashes, st.randoms())
def test_equals_a_search_bit_by_bit_in_any_order(
    clips: dict[str, tuple[str, ...]], wanted: tuple[str, ...], rng: random.Random
) -> None:
    entries = list(clips.items())
    rng.shuffle(entries)
    assert index_of(entries).nearest(wanted) == by_bits(clips, wanted)


def by_bits(clips: dict[str, tuple[str, ...]], wanted: tuple[str, ...]) -> tuple[int, str] | None:
    distances = (
        (max((int(a, 16) ^ int(b, 16)).bit_count() for a, b in zip(phash, wanted, strict=True)), key)
        for key, phash in clips.items()
    )
    return min(distances, default=None)


def test_a_neighbour_is_found_in_every_block_and_ties_are_settled_between_blocks() -> None:
    rng = random.Random(0)
    clips = {record_key(i): tuple(f"{rng.getrandbits(64):016x}" for _ in range(4)) for i in range(40_000)}
    index = index_of(list(clips.items()))
    for number in (0, 16_383, 16_384, 39_999):
        assert index.nearest(clips[record_key(number)]) == (0, record_key(number))
    wanted = tuple(f"{rng.getrandbits(64):016x}" for _ in range(4))
    assert index.nearest(wanted) == by_bits(clips, wanted)


def test_230000_clips_stay_under_20_mb() -> None:
    phashes = [bits(number % 64, number % 63, number % 61, number % 59) for number in range(1000)]
    tracemalloc.start()
    try:
        index = DuplicateIndex()
        for number in range(230_000):
            index.add(f"{number:020x}", phashes[number % 1000])
        index.nearest(ZERO)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(index) == 230_000
    assert peak < 20e6


@pytest.mark.parametrize("phash", [(), ZERO[:3], ("0" * 16,) * 5, ("0" * 15,) * 4])
def test_a_malformed_hash_is_refused(phash: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="4 times 16 hex digits"):
        DuplicateIndex().nearest(phash)
    with pytest.raises(ValueError, match="4 times 16 hex digits"):
        DuplicateIndex().add("aa", phash)


def test_digits_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        DuplicateIndex().add("aa", ("g" * 16,) * 4)


@pytest.mark.parametrize("key", ["", "0" * 21])
def test_a_key_that_does_not_fit_is_refused(key: str) -> None:
    index = DuplicateIndex()
    with pytest.raises(ValueError, match="give 1 to 20"):
        index.add(key, ZERO)
    assert len(index) == 0
