"""The laws of DEVA's matching, aggregation and memory."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.models.deva import matching
from pipeline.models.deva.core import Core
from pipeline.models.deva.matching import Query, similarity, top_k_affinity
from pipeline.models.deva.memory import Memory, Tokens, potentiated, remembered
from pipeline.models.deva.network import aggregate
from pipeline.models.deva.settings import SMALL, Propagation
from tests.pipeline.deva_seeded import normalised, seeded_frames, seeded_masks, seeded_network


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _memory_and_query(num_tokens: int, seed: int) -> tuple[Tensor, Tensor, Query]:
    keys, shrinkage = _random(num_tokens, 8, seed=seed), 1 + _random(num_tokens, seed=seed + 1).square()
    return keys, shrinkage, Query(_random(7, 8, seed=seed + 2), torch.sigmoid(_random(7, 8, seed=seed + 3)))


@given(num_tokens=st.integers(1, 40), seed=st.integers(0, 1000))
def test_similarity_is_a_weighted_distance(num_tokens: int, seed: int) -> None:
    keys, shrinkage, query = _memory_and_query(num_tokens, seed)
    squares = (keys[None] - query.key[:, None]).square() * query.selection[:, None]
    expected = -squares.sum(2) * shrinkage / 8**0.5
    torch.testing.assert_close(similarity(keys, shrinkage, query), expected, rtol=1e-4, atol=1e-4)


@given(num_tokens=st.integers(1, 40), top_k=st.integers(1, 50), seed=st.integers(0, 1000))
def test_affinity_is_a_softmax_over_the_most_similar(num_tokens: int, top_k: int, seed: int) -> None:
    keys, shrinkage, query = _memory_and_query(num_tokens, seed)
    affinity = top_k_affinity(keys, shrinkage, query, top_k)
    dense = torch.zeros(7, num_tokens).scatter_(1, affinity.token, affinity.weight)

    scores = similarity(keys, shrinkage, query)
    least = scores.sort(dim=1, descending=True).values[:, [min(top_k, num_tokens) - 1]]
    expected = torch.softmax(scores.masked_fill(scores < least, -torch.inf), dim=1)
    torch.testing.assert_close(dense, expected)
    values = _random(num_tokens, 5, seed=seed)
    torch.testing.assert_close(affinity.read(values), dense @ values)
    torch.testing.assert_close(affinity.usage(num_tokens), dense.sum(0))


def test_affinity_holds_far_from_all_memory() -> None:
    query = Query(torch.full((3, 8), 100.0), torch.ones(3, 8))
    affinity = top_k_affinity(torch.zeros(5, 8), torch.ones(5), query, 2)
    torch.testing.assert_close(affinity.weight.sum(1), torch.ones(3))


def test_affinity_in_rounds_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, shrinkage, query = _memory_and_query(20, 3)
    at_once = top_k_affinity(keys, shrinkage, query, 4)
    monkeypatch.setattr(matching, "MAX_SIMILARITIES", 45)  # two rows a round
    in_rounds = top_k_affinity(keys, shrinkage, query, 4)
    assert torch.equal(at_once.token, in_rounds.token)
    torch.testing.assert_close(at_once.weight, in_rounds.weight)


@given(seed=st.integers(0, 1000))
def test_aggregation_is_a_distribution_that_keeps_who_leads(seed: int) -> None:
    masks = torch.sigmoid(_random(3, 4, 5, seed=seed))
    maps = torch.softmax(aggregate(masks), dim=0)
    torch.testing.assert_close(maps.sum(0), torch.ones(4, 5))
    assert torch.equal(maps[1:].argmax(0), masks.argmax(0))
    hard = torch.nn.functional.one_hot(masks.argmax(0), 3).movedim(-1, 0)[1:]
    torch.testing.assert_close(torch.softmax(aggregate(hard), dim=0)[1:], hard.float(), rtol=0, atol=1e-6)


def _frame_tokens(objects: int, seed: int, size: int = 6) -> Tokens:
    key, selection = _random(size, 4, seed=seed), torch.sigmoid(_random(size, 4, seed=seed + 1))
    return remembered(key, torch.ones(size), selection, _random(size, objects, 3, seed=seed + 2))


@given(
    least=st.integers(1, 4),
    more=st.integers(1, 4),
    prototypes=st.integers(1, 30),
    room=st.integers(0, 40),
    seed=st.integers(0, 99),
)
def test_memory_is_bounded(least: int, more: int, prototypes: int, room: int, seed: int) -> None:
    settings = Propagation(
        min_mid_term_frames=least,
        max_mid_term_frames=least + more,
        num_prototypes=prototypes,
        max_long_term_elements=prototypes + room,
    )
    memory = Memory(settings)
    first = _frame_tokens(2, seed)
    memory.add(first)
    for t in range(30):
        memory.read(Query(_random(6, 4, seed=t), torch.ones(6, 4)))
        memory.add(_frame_tokens(2, seed + t))
        bucket = memory.buckets[0]
        assert bucket.num_working <= 6 * max(least + more, least + 2)
        assert bucket.num_long_term <= prototypes + room
        assert torch.isfinite(bucket.tokens.value).all()
        working = bucket.tokens[bucket.num_long_term :]
        assert torch.equal(working.key[:6], first.key)  # the first frame stays
    assert bucket.num_long_term > 0


def test_one_frame_above_the_least_number_the_middle_stays_once() -> None:
    memory = Memory(Propagation(min_mid_term_frames=2, max_mid_term_frames=3, num_prototypes=5))
    sizes = []
    for t in range(6):
        memory.add(_frame_tokens(1, t))
        sizes.append((memory.buckets[0].num_working // 6, memory.buckets[0].num_long_term // 5))
    assert sizes == [(1, 0), (2, 0), (3, 1), (2, 2), (3, 3), (2, 4)]


def test_a_prototype_is_the_mean_of_what_is_like_it() -> None:
    """Two places far from each other in key space: each one's prototype takes the values of its own."""
    key = torch.tensor([[0.0], [0.0], [50.0], [50.0]])
    value = torch.tensor([1.0, 3.0, 10.0, 30.0]).view(4, 1, 1)
    tokens = remembered(key, torch.ones(4), torch.ones(4, 1), value)
    used = Tokens(**{**vars(tokens), "use": torch.tensor([0.1, 0.9, 0.2, 0.5]), "life": torch.ones(4)})
    prototypes = potentiated(used, 2)
    assert prototypes.key.flatten().tolist() == [0, 50]  # most used first
    torch.testing.assert_close(prototypes.value.flatten(), torch.tensor([2.0, 20.0]))
    assert prototypes.use.tolist() == [0, 0]


def test_objects_of_later_frames_have_a_bucket_of_their_own() -> None:
    memory = Memory(Propagation())
    memory.add(_frame_tokens(2, 0))
    memory.add(_frame_tokens(3, 10))
    memory.add(_frame_tokens(3, 20))
    assert [len(bucket.tokens) for bucket in memory.buckets] == [18, 12]
    query = Query(_random(6, 4, seed=5), torch.ones(6, 4))
    all_three = memory.read(query)
    memory.keep([1, 2])
    torch.testing.assert_close(memory.read(query), all_three[:, 1:])
    memory.keep([1])
    torch.testing.assert_close(memory.read(query), all_three[:, 2:])
    assert [bucket.num_objects for bucket in memory.buckets] == [1]


def test_memory_is_flat_over_a_long_clip() -> None:
    settings = Propagation(mem_every=1, num_prototypes=5, max_long_term_elements=20)
    core, images = Core(seeded_network(SMALL), settings), normalised(seeded_frames(60, 32, 48))
    sizes = []
    for t, image in enumerate(images):
        core.step(core.encode(image), torch.from_numpy(seeded_masks(32, 48)) if t == 0 else None)
        sizes.append(core.memory.nbytes)
    assert max(sizes[30:]) == max(sizes[20:30])
    assert any(a > b for a, b in pairwise(sizes))  # consolidation gives back what it takes
