"""Captioner and Namer: is a caption's first subject the scene's, and is its colour right?"""

import re
from collections import Counter
from collections.abc import Iterator

from benchmarks.annotators.report import Findings, grouped, line
from benchmarks.annotators.session import Session
from benchmarks.intervals import share_of
from pipeline.embedded.drawing import COLOURS
from pipeline.records import Captioned, Rejected

SECTION = "captioner"

GOAL = 0.95
"""Wanted share of captions that name the right noun first."""

SHOWN = 8
"""Kinds of failure that are told of."""


def measure(session: Session) -> Findings:
    clips = session.clips
    first = [nouns[0] if nouns else None for nouns in session.names_said]
    right = [(clip.scene.case, float(noun == clip.noun)) for noun, clip in zip(first, clips, strict=True)]
    seen = [noun in clip.truth().nouns for noun, clip in zip(first, clips, strict=True)]
    colours = [
        colour_of(said) == clip.scene.actors[0].look.colour for said, clip in zip(session.said, clips, strict=True)
    ]
    lines = grouped(SECTION, "first subject is the right noun", "embedded", right, share_of, GOAL)
    lines.append(line(SECTION, "first subject is in the scene", "embedded", share_of(seen)))
    lines.append(line(SECTION, "first colour is the subject's", "embedded", share_of(colours)))
    return Findings(lines, [*_refused(session), *_confused(session, first)])


def colour_of(said: Captioned | Rejected) -> str | None:
    """The first colour that a caption speaks of."""
    words = re.findall(r"[a-z]+", said.caption.lower()) if isinstance(said, Captioned) else []
    return next((word for word in words if word in COLOURS), None)


def _refused(session: Session) -> Iterator[str]:
    why = Counter(said.why for said in session.said if isinstance(said, Rejected))
    for reason, count in why.most_common():
        yield f"captioner: {count} of {len(session.said)} clips rejected: {reason}"


def _confused(session: Session, first: list[str | None]) -> Iterator[str]:
    """Which noun was taken for which, with a caption."""
    wrong: dict[tuple[str, str | None], list[str]] = {}
    for clip, said, noun in zip(session.clips, session.said, first, strict=True):
        if noun != clip.noun and isinstance(said, Captioned):
            wrong.setdefault((clip.noun, noun), []).append(f"{clip.scene.case}: {said.caption!r}")
    for (true, noun), examples in sorted(wrong.items(), key=lambda item: -len(item[1]))[:SHOWN]:
        yield f"captioner: {true} named {noun}, {len(examples)} times, as {examples[0]}"
