"""The order is a permutation that (seed, epoch) alone decide, found at any position; weights hold in expectation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.loader import draws
from training.loader.order import Order


def shards(clips: int, per_shard: int) -> NDArray[np.int64]:
    return np.arange(clips) // per_shard


@settings(max_examples=30, deadline=None)
@given(
    clips=st.integers(1, 60),
    per_shard=st.integers(1, 9),
    at_once=st.integers(1, 5),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 1000),
)
def test_every_epoch_draws_each_clip_once(clips: int, per_shard: int, at_once: int, seed: int, epoch: int) -> None:
    order = Order(seed, shards(clips, per_shard), None, at_once)
    drawn, copies = order.epoch(epoch)
    assert sorted(drawn) == list(range(clips))
    assert not copies.any()


def test_a_position_is_found_without_those_before_it() -> None:
    one, other = (Order(5, shards(37, 4), None, 2) for _ in range(2))
    walked = [one.draw(position) for position in range(4 * 37)]
    assert [other.draw(position) for position in reversed(range(4 * 37))] == walked[::-1]
    assert [draw.epoch for draw in walked] == [n // 37 for n in range(4 * 37)]


def test_seeds_and_epochs_give_other_orders() -> None:
    orders = [tuple(Order(seed, shards(50, 5), None, 4).epoch(epoch)[0]) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_few_shards_are_read_at_a_time(at_once: int) -> None:
    """A window of shards is used up before the next begins; within it, shards are mixed."""
    shard_of = shards(120, 10)
    order = Order(1, shard_of, None, at_once)
    seen = shard_of[order.epoch(0)[0]]
    window = min(at_once, 12) * 10
    assert all(len(set(seen[n : n + window])) == window // 10 for n in range(0, 120, window))
    if at_once > 1:
        assert len(set(seen[:10])) > 1


def test_every_place_is_as_likely_for_every_clip() -> None:
    """Mean place of each clip over many epochs: within 5 standard errors of the middle."""
    order, epochs = Order(3, shards(24, 4), None, 2), 600
    places = np.array([np.argsort(order.epoch(epoch)[0]) for epoch in range(epochs)])
    error = np.sqrt((24**2 - 1) / 12 / epochs)
    assert np.abs(places.mean(0) - 11.5).max() < 5 * error


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=40), seed=st.integers(0, 1000))
def test_weights_are_kept_up_to_one_draw(weights: list[float], seed: int) -> None:
    order = Order(seed, shards(len(weights), 3), np.array(weights), 2)
    clips, copies = order.epoch(0)
    expected = len(weights) * np.array(weights) / sum(weights)
    times = np.bincount(clips, minlength=len(weights))
    assert times.sum() == len(weights)
    assert (np.abs(times - expected) < 1 + 1e-9).all()
    for clip in range(len(weights)):
        assert sorted(copies[clips == clip]) == list(range(times[clip]))


def test_weights_hold_over_many_epochs() -> None:
    weights = np.array([1.0, 2.0, 3.0, 0.5, 0.05])
    order, epochs = Order(0, shards(5, 2), weights, 2), 4000
    times = sum(np.bincount(order.epoch(epoch)[0], minlength=5) for epoch in range(epochs))
    expected = 5 * weights / weights.sum()
    assert np.abs(times / epochs - expected).max() < 5 * 0.5 / np.sqrt(epochs)  # a count varies by half a draw at most


def test_draws_of_a_sample_are_its_own() -> None:
    """Seed, epoch, sample, copy and attempt each give other numbers, and the same ones always the same."""
    named = [(0, 0, "ab", 0, 0), (1, 0, "ab", 0, 0), (0, 1, "ab", 0, 0), (0, 0, "ac", 0, 0), (0, 0, "ab", 1, 0)]
    named += [(0, 0, "ab", 0, 1), (0, 0, "f" * 32, 0, 0), (0, 0, "e" * 32, 0, 0)]
    drawn = [tuple(draws.of_sample(*name).random(3)) for name in named]
    assert len(set(drawn)) == len(named)
    assert drawn == [tuple(draws.of_sample(*name).random(3)) for name in named]


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox 4x64-10 as published (Salmon et al., 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        one, other = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [other >> 64 ^ c[1] ^ k[0], other % 2**64, one >> 64 ^ c[3] ^ k[1], one % 2**64]
        k = [(k[0] + 0x9E3779B97F4A7C15) % 2**64, (k[1] + 0xBB67AE8584CAA73B) % 2**64]
    return c


def test_the_numbers_are_philox() -> None:
    """Of the published function, not of a library's version: a run goes on anywhere. numpy counts from 1."""
    nobody = 2**64 - 1
    assert draws.of_epoch(7, 3, "clips", 4).tolist() == philox([1, 2, nobody, nobody], [7, 3])
    first = philox([1, 5 << 32 | 1, 255, 0], [7, 3])[0]
    assert draws.of_sample(7, 3, "00ff", 1, 5).random() == (first >> 11) / 2**53
