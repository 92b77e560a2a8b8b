"""Plain English about a scene, its subject the first noun and the grammatical subject: "a red dog runs past a wall"."""

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.embedded.backdrops import KINDS
from pipeline.embedded.drawing import COLOURS, Look
from pipeline.embedded.scenes import Case

Verb = tuple[str, str, str]  # "run", "runs", "running"

_DRIFT: Verb = ("drift", "drifts", "drifting")
_DRIVE: Verb = ("drive", "drives", "driving")
_FLOAT: Verb = ("float", "floats", "floating")
_FLY: Verb = ("fly", "flies", "flying")
_GLIDE: Verb = ("glide", "glides", "gliding")
_MOVE: Verb = ("move", "moves", "moving")
_ROLL: Verb = ("roll", "rolls", "rolling")
_RUN: Verb = ("run", "runs", "running")
_SAIL: Verb = ("sail", "sails", "sailing")
_SLIDE: Verb = ("slide", "slides", "sliding")
_SWIM: Verb = ("swim", "swims", "swimming")
_TROT: Verb = ("trot", "trots", "trotting")
_WALK: Verb = ("walk", "walks", "walking")

VERBS: dict[str, tuple[Verb, ...]] = {
    "airplane": (_FLY, _GLIDE),
    "ball": (_ROLL, _MOVE),
    "bird": (_FLY, _GLIDE),
    "boat": (_SAIL, _FLOAT),
    "car": (_DRIVE, _ROLL),
    "cat": (_GLIDE, _MOVE),
    "dog": (_RUN, _WALK),
    "fish": (_SWIM, _GLIDE),
    "horse": (_RUN, _TROT),
    "house": (_SLIDE, _MOVE),
    "mug": (_SLIDE, _MOVE),
    "rocket": (_FLY, _MOVE),
    "star": (_DRIFT, _FLOAT),
    "tree": (_SLIDE, _MOVE),
    "truck": (_DRIVE, _ROLL),
    "umbrella": (_FLOAT, _DRIFT),
}
"""What each noun does when it moves."""

PLURALS = {"fish": "fish"}

WAYS = {
    "diagonal": "diagonally",
    "mirrored_diagonal": "diagonally",
    "l": "down and then to the right",
    "mirrored_l": "up and then to the left",
    "v": "down and up again",
    "inverted_v": "up and down again",
    "there_and_back": "to the right and back again",
    "triangle": "in a triangle",
}
"""Name of a trajectory -> how a caption says it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a caption may speak of."""

    case: Case
    subject: Look
    others: Sequence[Look]  # besides the subject and its twin
    place: str
    way: str  # "to the left", "in a triangle"


def caption(facts: Facts, rng: np.random.Generator) -> str:
    """One of several wordings of the facts, without a full stop."""
    who = _noun_phrase(facts.subject, rng, two=facts.case == "two")
    verb = VERBS[facts.subject.noun][rng.integers(2)]
    templates = _TEMPLATES.get(facts.case, _TEMPLATES["plain"])
    said = templates[rng.integers(len(templates))].format(
        who=who,
        does=verb[0] if facts.case == "two" else verb[1],
        doing=verb[2],
        be="are" if facts.case == "two" else "is",
        place=facts.place,
        way=facts.way,
    )
    return said + _beside(facts.others, rng)


_TEMPLATES: dict[Case, tuple[str, ...]] = {
    "plain": (
        "{who} {does} {way} in front of {place}",
        "{who} {does} past {place}",
        "{who} {does} {way} across {place}",
        "{who} {be} {doing} {way} over {place}",
        "{who} slowly {does} {way} before {place}",
    ),
    "two": (
        "{who} {does} {way} in front of {place}",
        "{who} {be} {doing} past {place}",
        "{who} {does} together across {place}",
    ),
    "static": (
        "{who} stays still in front of {place}",
        "{who} stands before {place} without moving",
        "{who} rests in front of {place}",
    ),
    "small": ("{who} far away {does} {way} in front of {place}", "{who} in the distance {does} past {place}"),
    "large": ("{who} fills the frame in front of {place}", "{who} very close to the camera hides {place}"),
    "late": ("{who} {does} into view in front of {place}", "{who} appears and {does} across {place}"),
    "leaving": ("{who} {does} out of view in front of {place}", "{who} {does} away past {place}"),
    "camera": (
        "{who} stands still while the camera pans over {place}",
        "{who} rests in front of {place} as the camera turns {way}",
    ),
    "occluded": (
        "{who} {does} behind a pillar in front of {place}",
        "{who} {be} {doing} {way} behind a wide pillar and comes out again",
    ),
}


def _noun_phrase(look: Look, rng: np.random.Generator, *, two: bool = False) -> str:
    words = f"{look.colour} {look.noun}"
    if look.pattern in ("striped", "spotted") and rng.random() < 0.3:
        words = f"{look.pattern} {words}"
    if two:
        return f"two {words[: -len(look.noun)]}{PLURALS.get(look.noun, look.noun + 's')}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _beside(others: Sequence[Look], rng: np.random.Generator) -> str:
    """The other objects, or some of the time nothing of them."""
    if not others or rng.random() < 0.3:
        return ""
    named = " and ".join(_noun_phrase(look, rng) for look in others)
    return _BESIDE[rng.integers(3)].format(named=named)


_BESIDE = (" with {named} nearby", " beside {named}", ", near {named}")


def words() -> tuple[str, ...]:
    """Every word and mark that a caption can have, but for those of a straight way, in alphabetical order."""
    return tuple(sorted({word for phrase in _phrases() for word in phrase.replace(",", " , ").split()}))


def _phrases() -> Iterator[str]:
    """What captions are put together from."""
    for template in (*(said for among in _TEMPLATES.values() for said in among), *_BESIDE):
        yield from (literal for literal, *_ in string.Formatter().parse(template))
    for noun, verbs in VERBS.items():
        yield from (noun, PLURALS.get(noun, noun + "s"), *(form for verb in verbs for form in verb))
    yield from COLOURS
    yield from WAYS.values()
    yield from (kind.place for kind in KINDS.values())
    yield "a an two and striped spotted is are , then"
