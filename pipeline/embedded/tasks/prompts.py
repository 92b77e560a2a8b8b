"""Prompts to train a detector on: what is seen beside what is not, above all what looks like it."""

from typing import NamedTuple

import numpy as np

from pipeline.embedded.drawing import COLOURS
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.text_encoder import PLURAL, never_found
from pipeline.embedded.tasks.views import View

COUNTS = {1: 0.3, 2: 0.2, 3: 0.15, 4: 0.1, 5: 0.06, 6: 0.05, 8: 0.06, 12: 0.04, 16: 0.04}
"""Nouns in a prompt -> share of the prompts. Long ones teach more of what is not there at the same cost."""

LOOK_ALIKES = {
    "airplane": ("bird", "rocket", "fish", "boat"),
    "ball": ("star", "mug", "tree", "umbrella", "fish"),
    "bird": ("airplane", "fish", "rocket", "cat"),
    "boat": ("umbrella", "truck", "airplane", "house"),
    "car": ("truck", "boat", "mug"),
    "cat": ("dog", "mug", "bird", "horse"),
    "dog": ("horse", "cat", "bird"),
    "fish": ("bird", "ball", "airplane", "car"),
    "horse": ("dog", "cat", "bird"),
    "house": ("truck", "mug", "boat", "tree"),
    "mug": ("house", "ball", "cat", "truck"),
    "rocket": ("airplane", "star", "boat", "bird"),
    "star": ("ball", "umbrella", "airplane", "rocket"),
    "tree": ("umbrella", "ball", "house", "star"),
    "truck": ("car", "house", "boat"),
    "umbrella": ("tree", "star", "boat", "ball"),
}
"""Noun -> those it is taken for when it is small."""


_STRANGERS = never_found()


class Question(NamedTuple):
    """A prompt and where it names what."""

    text: str
    tokens: dict[str, list[int]]  # noun -> its tokens' positions, [CLS] being 0
    length: int  # tokens without [CLS] and [SEP]


def question(view: View, rng: np.random.Generator) -> Question:
    """A prompt about the view. Of what is hardly seen, it says nothing."""
    unclear = {one.noun for one in view.objects if not one.clear}
    there = [noun for noun in dict.fromkeys(one.noun for one in view.objects) if noun not in unclear]
    count = list(COUNTS)[rng.choice(len(COUNTS), p=list(COUNTS.values()))]
    asked = [noun for noun in there if rng.random() < 0.75][:count]
    others = [noun for noun in NOUNS if noun not in there and noun not in unclear]
    alike = [other for noun in there for other in LOOK_ALIKES[noun] if other in others]
    for _ in range(count - len(asked)):
        kind = rng.random()
        among = alike if kind < 0.4 and alike else others if kind < 0.8 else _STRANGERS
        asked.append(among[rng.integers(len(among))])
    asked = list(dict.fromkeys(asked))
    rng.shuffle(asked)
    colours = {one.noun: one.colour for one in view.objects}
    return _spelled({noun: _phrase(noun, colours.get(noun), rng) for noun in asked})


def _phrase(noun: str, colour: str | None, rng: np.random.Generator) -> str:
    """Mostly the bare noun, as the pipeline asks; sometimes its plural, or with a colour."""
    kind = rng.random()
    if kind < 0.9 or noun not in PLURAL:
        return noun
    if kind < 0.94:
        return PLURAL[noun]
    return f"{colour or list(COLOURS)[rng.integers(len(COLOURS))]} {noun}"


def _spelled(phrases: dict[str, str]) -> Question:
    """Every word is one token, and so is each phrase's full stop."""
    tokens, length = {}, 0
    for noun, phrase in phrases.items():
        words = len(phrase.split())
        tokens[noun] = list(range(length + 1, length + 1 + words))
        length += words + 1
    return Question(" . ".join(phrases.values()) + " .", tokens, length)
