"""What is done to a caption's text before a model reads it."""

import re
import unicodedata
from collections.abc import Callable

from pipeline.models import noun_words

_FILE_OR_LINK = re.compile(
    r"https?://\S+|www\.\S+|\b\S+\.(?:mp4|mov|avi|mkv|webm|jpe?g|png)\b|\b\w*_\d\w*\b|\(\d+\)", re.I
)
_FACE = re.compile(r"[:;]-?[()DPp](?=\s|$)|[#@](?=\w)")
_ENDING = re.compile(r"[\s.…!?]*(?:\.{2,}|…|!{2,})[\s.…!?]*")
_PICTURE_WORDS = tuple(
    (re.compile(pattern, re.I), word)
    for pattern, word in (
        (r"\bclose[- ]ups?\b", "closeup"),
        (r"\btime[- ]lapses?\b", "timelapse"),
        (r"\bslow[- ]mo(?:tion)?\b(?= (?:shot|footage|video|clip))", ""),
        (r"\b(?:[48]k|uhd|full hd|\d+\s?fps|1080p|720p)\b", ""),
        (r"\bb[- ]roll\b", "footage"),
        (r"\bshots? of\b", "footage of"),  # "drone shot of" reads as a drone that shot
    )
)
_HEADER = re.compile(r"^([^:.!?]{2,60})(?::|\s[-–—]|\s\|)\s+(?=\w+\s+\w)")


def tidy(caption: str) -> str:
    """One line; no file names, links, smileys, emoji; runs of dots end a sentence; terms of film are one word each."""
    text = _FACE.sub(" ", _FILE_OR_LINK.sub(" ", _written(caption)))
    for pattern, word in _PICTURE_WORDS:
        text = pattern.sub(word, text)
    return " ".join(_ENDING.sub(". ", text).split()).lstrip("., -").rstrip()


def _written(text: str) -> str:
    """Without emoji and control characters, between which words stay apart, nor marks that cannot be seen."""
    kinds = {character: unicodedata.category(character) for character in set(text)}
    unseen = {character for character, kind in kinds.items() if kind == "Cf" or "\ufe00" <= character <= "\ufe0f"}
    shown = (" " if kinds[c] in ("So", "Sk", "Cc", "Co", "Cs", "Cn") else c for c in text if c not in unseen)
    return "".join(shown)


def without_header(text: str) -> str:
    """Without what stands before a colon or dash and only says place, time or kind of picture."""
    while (found := _HEADER.match(text)) and _is_header(found.group(1)):
        text = text[found.end() :]
    return text


def _is_header(text: str) -> bool:
    words = re.findall(r"[^\W_]+", text)
    return all(word[0].isupper() or word.isdigit() or word.lower() in noun_words.ABSTRACT for word in words)


def without_capitals(text: str) -> str:
    """In lower case where nearly all letters are capitals."""
    letters = [letter for letter in text if letter.isalpha()]
    return text.lower() if letters and sum(map(str.isupper, letters)) > 0.8 * len(letters) else text


def is_foreign(text: str, is_english: Callable[[str], bool]) -> bool:
    """Whether the text is in another script, has another language's little words, or mostly unknown ones."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if not words or sum(map(str.isascii, words)) < len(words) / 2:
        return True
    theirs, ours = (sum(word in little for word in words) for little in (noun_words.FOREIGN, noun_words.ENGLISH))
    known = sum(map(is_english, words)) / len(words)
    return theirs > ours or (len(words) >= 3 and known < 0.5)
