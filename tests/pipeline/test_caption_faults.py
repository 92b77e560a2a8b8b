"""Texts that are captions come back clean; each fault is found by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.caption_faults import CaptionFault, checked_caption

DOG = "A dog runs across the grass."

KEPT = [
    DOG,
    "a dog",
    "Two men, very, very old, walk side by side by side.",
    "A man in black and a man in white talk.",
    "A dog and a cat and a bird sit on a wall.",
    "The dog shows its teeth.",
    "A photographer takes an image of a cat.",
    "There are 1000000 stars above Köln.",
    'A sign reads "stop" and another "go"',
    "A man in a red shirt walks, then a man in a red coat walks.",
    "She goes up and down and up and down the stairs.",
]

TRIMMED = [
    ("  A dog \n\t runs. ", "A dog runs."),
    ("The image shows a dog running.", "A dog running."),
    ("This video clip clearly depicts how a dog runs.", "A dog runs."),
    ("In this short video, we can see a dog.", "A dog."),
    ("The scene opens with a dog.", "A dog."),
    ("The picture is a close-up of a dog.", "A close-up of a dog."),
    ("The video is about a dog.", "A dog."),
    ("A photo of a dog.", "A dog."),
    ("This is a video of a dog.", "A dog."),
    ("Sure! Here is a short caption for the video: **A dog runs.**", "A dog runs."),
    ("**Caption:** “A dog runs.”", "A dog runs."),
    ("Description: the frames show a dog.", "A dog."),
    ('"A dog runs."', "A dog runs."),
    ("# a dog", "A dog"),
    ("the image shows\u200b a\xad dog", "A dog"),
]

FAULTS = [
    ("", "empty", ""),
    (" \n ", "empty", ""),
    ("...", "empty", "..."),
    ("The image shows", "empty", ""),
    ("A dog\x00 runs.", "non-printing", "U+0000"),
    ("A d\ufffdg runs.", "non-printing", "U+FFFD"),
    ("A dog \ue000 runs.", "non-printing", "U+E000"),
    ("A dog runs.<|im_end|>", "markup", "<|im_end|>"),
    ("<image> A dog runs.", "markup", "<image>"),
    ("A dog [UNK] runs.</s>", "markup", "[UNK]"),
    ("I'm sorry, but there is no video.", "refusal", "I'm sorry"),
    ("As an AI, I do not see.", "refusal", "As an AI"),
    ("Sure! I cannot see it.", "refusal", "I cannot"),
    ("dog dog dog dog", "repeated", "dog"),
    ("A dog runs. A dog runs. A dog runs.", "repeated", "a dog runs"),
    ("a dog and a dog and a dog", "repeated", None),
    ("The dog runs over the grass. The dog runs over the grass.", "repeated", "the dog runs over the grass"),
    ("hahahahahahaha", "repeated", "ha"),
    (" ".join(f"word{n}" for n in range(81)), "over-long", 81.0),
]


@pytest.mark.parametrize("text", KEPT)
def test_a_caption_stays_as_it_is(text: str) -> None:
    assert checked_caption(text) == text


@pytest.mark.parametrize(("text", "caption"), TRIMMED)
def test_what_only_says_that_it_is_a_caption_is_trimmed(text: str, caption: str) -> None:
    assert checked_caption(text) == caption


@pytest.mark.parametrize(("text", "why", "value"), FAULTS)
def test_every_fault_is_named(text: str, why: str, value: str | float | None) -> None:
    fault = checked_caption(text)
    assert isinstance(fault, CaptionFault)
    assert fault.why == why
    assert value is None or fault.value == value


def test_what_was_cut_off_ends_with_its_last_whole_sentence() -> None:
    text = "A dog runs. It is 3.5 years old. Behind it, a man"
    assert checked_caption(text) == text
    assert checked_caption(text, finished=False) == "A dog runs. It is 3.5 years old."
    assert checked_caption("A dog runs.", finished=False) == "A dog runs."
    assert checked_caption("A dog that runs 3.5", finished=False) == CaptionFault(
        why="unfinished", value="A dog that runs 3.5"
    )


def test_a_loop_that_was_cut_off_is_a_loop() -> None:
    fault = checked_caption("A dog. It runs and runs and runs and runs and", finished=False)
    assert isinstance(fault, CaptionFault)
    assert fault.why == "repeated"


def test_the_longest_caption_is_the_callers_choice() -> None:
    assert checked_caption(DOG, max_words=6) == DOG
    assert checked_caption(DOG, max_words=5) == CaptionFault(why="over-long", value=6.0)


phrases = st.sampled_from(
    ["the image shows", "A photo of", "In this video,", "Sure!", "a dog", "runs", '"', "**", ".", "sorry", "Caption:"]
)
texts = st.one_of(st.text(), st.lists(phrases, max_size=8).map(" ".join))


@given(texts, st.booleans())
def test_a_checked_caption_checked_again_stays_as_it_is(text: str, finished: bool) -> None:
    caption = checked_caption(text, finished=finished)
    if isinstance(caption, str):
        assert checked_caption(caption) == caption
        assert caption.isprintable()
        assert caption == " ".join(caption.split())


@given(st.lists(st.sampled_from(["dog", "runs", "tree", "red"]), min_size=1, max_size=30), st.integers(5, 40))
def test_a_phrase_four_times_over_is_always_found(words: list[str], copies: int) -> None:
    fault = checked_caption(" ".join(words * copies), max_words=10_000)
    assert isinstance(fault, CaptionFault)
    assert fault.why == "repeated"
