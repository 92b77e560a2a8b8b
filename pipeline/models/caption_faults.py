"""What is wrong with a caption that a model wrote: its text cleaned, or the name of its fault."""

import re
import string
import unicodedata
from dataclasses import dataclass
from typing import Literal, TypeAlias

Why: TypeAlias = Literal["empty", "non-printing", "markup", "refusal", "repeated", "unfinished", "over-long"]

MAX_WORDS = 80

LONGEST_PHRASE = 40
"""Words of the longest phrase that is looked for in a loop."""


@dataclass(frozen=True, kw_only=True)
class CaptionFault:
    """Why a text is no caption, and what was found: the part of it, or its number of words."""

    why: Why
    value: str | float


def checked_caption(text: str, *, finished: bool = True, max_words: int = MAX_WORDS) -> str | CaptionFault:
    """The caption in one line, without what only says that it is one ("The image shows"), or its fault.

    `finished` is False where the model was cut off: what stands behind the last whole sentence is dropped. A checked
    caption that is checked again stays as it is.

        empty         nothing is left
        non-printing  control, private or unassigned characters, or one that could not be decoded
        markup        tokens of the model itself
        refusal       the model declines, or speaks of itself
        repeated      a word or phrase in a loop
        unfinished    cut off within its first sentence
        over-long     more than `max_words` words
    """
    shown = "".join(c for c in text if unicodedata.category(c) != "Cf")
    line = " ".join(shown.replace("**", "").split())
    if fault := _unreadable(line) or _loop(line):
        return fault
    if not finished:
        whole = _SENTENCES.match(line)
        if whole is None:
            return CaptionFault(why="unfinished", value=line[-40:])
        line = whole.group()
    caption = _without_boilerplate(line)
    return _unfit(caption, max_words) or caption


_BROKEN = ("Cc", "Cs", "Co", "Cn")
_TOKEN = re.compile(
    r"<\|[^|<>]{1,40}\|>|</?(?:s|image|video|pad|unk|eos|bos|think|extra_id_\d+)>"
    r"|\[(?:PAD|CLS|SEP|UNK|MASK|INST|/INST|unused\d+)\]"
)
_SENTENCES = re.compile(r".*[.!?][\"'”’)*]*(?=\s|$)")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LETTERS = re.compile(r"([^\W\d_]{1,20}?)\1{5}")


def _unreadable(line: str) -> CaptionFault | None:
    for character in line:
        if character == "\ufffd" or unicodedata.category(character) in _BROKEN:
            return CaptionFault(why="non-printing", value=f"U+{ord(character):04X}")
    token = _TOKEN.search(line)
    return CaptionFault(why="markup", value=token.group()) if token else None


def _loop(line: str) -> CaptionFault | None:
    """Letters six times in a row, or a phrase so often that no sentence needs it."""
    if letters := _LETTERS.search(line):
        return CaptionFault(why="repeated", value=letters.group(1))
    words = _WORD.findall(line.casefold())
    for length in range(1, min(LONGEST_PHRASE, len(words) // 2) + 1):
        run = 0  # words in a row that stand `length` words before as well
        for end in range(length, len(words)):
            run = run + 1 if words[end] == words[end - length] else 0
            if run + length >= _allowed(length) * length:
                start = end - run - length + 1
                return CaptionFault(why="repeated", value=" ".join(words[start : start + length]))
    return None


def _allowed(length: int) -> float:
    """Copies of a phrase of so many words that are too many: "very, very", but not a whole clause twice."""
    return {1: 4.0, 2: 3.0, 3: 2.5, 4: 2.5}.get(length, 2.0)


_PICTURE = r"(?:image|picture|photo(?:graph)?|video|clip|footage|scene|frame|sequence)s?(?: clip| sequence| frames?)?"
_SHOWS = (
    r"(?:(?:clearly|mainly|primarily|mostly|also) )?"
    r"(?:(?:show|depict|feature|display|capture|present|contain|portray|showcase|illustrate)s?"
    r"|(?:begin|start|open)s? with|(?:is|are) (?:of|about)|(?:is|are)(?= an?\b))(?: that| how)?"
)
_OPENING = re.compile(
    r"(?:"
    r"(?:sure|certainly|of course|okay)\s*[,!.:]"
    r"|(?:here is|here's|here’s|this is|the following is) (?:an?|the|my|your) (?:[\w-]+ ){0,3}?"
    rf"(?:caption|description|summary)(?: (?:of|for) (?:the|this|your) {_PICTURE})?\s*(?:[:.]|$)"
    r"|(?:caption|description|summary|answer)\s*\**\s*:"
    rf"|(?:in|throughout|across) (?:the|this|these) (?:[\w-]+ )?{_PICTURE}\s*,"
    rf"|(?:the|this|these|an?) (?:[\w-]+ )?{_PICTURE} {_SHOWS}\b"
    rf"|(?:this is )?(?:an?|the) {_PICTURE} of\b"
    r"|(?:we|you|one) (?:can )?see\b"
    r")\s*",
    re.I,
)
_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"))


def _without_boilerplate(line: str) -> str:
    before, text = None, line
    while text != before:
        before, text = text, _unwrapped(text)
        if opening := _OPENING.match(text):
            text = text[opening.end() :]
    return text[:1].upper() + text[1:] if text != line and text[:1] in string.ascii_lowercase else text


def _unwrapped(text: str) -> str:
    """Without marks of lists, headings and stress, and without quotes around the whole."""
    text = text.lstrip(" #*->:,").rstrip(" *")
    for opening, closing in _QUOTES:
        inner = text[1:-1]
        if len(text) > 1 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(inner):
            return inner.strip()
    return text


_REFUSAL = re.compile(
    r"(?:i'm |i’m |i am )?(?:very )?sorry\b|as an ai\b|i(?: am|'m|’m)? (?:unable to|not able to|cannot|can't|can’t)\b"
    r"|unfortunately,? i\b",
    re.I,
)


def _unfit(caption: str, max_words: int) -> CaptionFault | None:
    if refusal := _REFUSAL.match(caption):
        return CaptionFault(why="refusal", value=refusal.group())
    words = len(_WORD.findall(caption))
    if not words:
        return CaptionFault(why="empty", value=caption)
    return CaptionFault(why="over-long", value=float(words)) if words > max_words else None
