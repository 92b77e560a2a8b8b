"""Which words there are, and their lemmas: by WordNet through NLTK where its files are found, else by spaCy's model."""

import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pipeline.models import noun_words

DEBIAN_WORDNET = Path("/usr/share/wordnet")


def find_wordnet(folder: str | None) -> str | None:
    """The folder of WordNet's files: the one named, else NLTK's data, else Debian's package `wordnet-base`; or None.

    Raises ValueError where a named folder lacks them.
    """
    if folder is not None:
        if not (Path(folder) / "index.noun").is_file():
            raise ValueError(f"wordnet {folder!r} has no index.noun: name the folder of WordNet's own files")
        return folder
    for place in _nltk_data():
        for found in (place / "corpora" / "wordnet", place / "corpora" / "wordnet.zip"):
            if os.access(found, os.R_OK):  # another user's home may be closed
                return str(found)
    return str(DEBIAN_WORDNET) if os.access(DEBIAN_WORDNET / "index.noun", os.R_OK) else None


def _nltk_data() -> list[Path]:
    """Where NLTK keeps its data; asking NLTK itself would cost seconds of import in every process."""
    named = [Path(folder) for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep) if folder]
    bases = (
        Path.home(),
        Path(sys.prefix),
        *(Path("/usr", base) for base in ("share", "lib", "local/share", "local/lib")),
    )
    return [*named, *(base / "nltk_data" for base in bases)]


class Vocabulary:
    """Nouns, verbs and lemmas of English, by a loaded spaCy model and, where there is a folder of it, WordNet."""

    _exceptions: dict[str, dict[str, list[str]]]

    def __init__(self, nlp: Any, wordnet: str | None) -> None:
        self._lemmatizer = nlp.get_pipe("lemmatizer")
        lookups = self._lemmatizer.lookups
        self._index = {kind: frozenset(lookups.get_table("lemma_index")[kind]) for kind in _KINDS}
        self._exceptions = {kind: lookups.get_table("lemma_exc")[kind] for kind in _KINDS}
        self._function_words = frozenset(nlp.Defaults.stop_words)
        self._letters = {trigram for word in self._index["noun"] for trigram in _trigrams(word)}
        self._wordnet = None if wordnet is None else _wordnet_lemmas(wordnet)

    def is_noun(self, word: str) -> bool:
        """Whether the lemma `word`, lower-case, is a noun of the dictionary."""
        return word in self._index["noun"] or (self._wordnet is not None and word in self._wordnet(word))

    def is_only_noun(self, word: str) -> bool:
        return self.is_noun(word) and word not in self._index["adj"] | self._index["verb"]

    def is_word(self, word: str) -> bool:
        """Whether `word` is a noun of the dictionary, two of its words in one, or at least spelt like one.

        The model's list lacks common nouns ("otter"), and WordNet's is older than the smartphone.
        """
        if self.is_noun(word) or all(trigram in self._letters for trigram in _trigrams(word)):
            return True
        return any(self.is_noun(word[:k]) and self.is_noun(word[k:]) for k in range(3, len(word) - 2))

    def is_english(self, word: str) -> bool:
        """Whether a form of any kind, lower-case, is listed."""
        if word in self._function_words or any(word in table for table in self._exceptions.values()):
            return True
        return any(stem in table for stem in _stems(word) for table in self._index.values())

    def verbs(self, word: str) -> set[str]:
        """The verbs that `word`, in -s or -ing, may be a form of."""
        if not word.endswith(("s", "ing")):
            return set()
        return {stem for stem in _stems(word)[1:] if stem in self._index["verb"] or stem in noun_words.DOING}

    def lemma(self, token: Any, *, plural: bool) -> str:
        """The lower-case lemma of a token read as a noun, whatever it was tagged."""
        word: str = token.lower_
        if not plural:
            return word
        if self._wordnet is not None:
            return min(self._wordnet(word), key=len, default=word)
        return self._lemma_by_model(word)

    def _lemma_by_model(self, word: str) -> str:
        if word in self._exceptions["noun"]:
            return min(self._exceptions["noun"][word], key=lambda lemma: (len(lemma), lemma))
        stems = [stem for stem in _singulars(word) if self.is_noun(stem)] or _singulars(word)
        return stems[0] if stems else word


_KINDS = ("noun", "verb", "adj")


def _trigrams(word: str) -> list[str]:
    marked = f"^{word}$"
    return [marked[k : k + 3] for k in range(len(marked) - 2)]


def _singulars(word: str) -> list[str]:
    """What a regular plural may come from, likeliest first."""
    ends = (("ies", "y"), ("ves", "f"), ("men", "man"), ("s", ""), ("es", ""))
    return [word[: -len(end)] + singular for end, singular in ends if word.endswith(end) and not word.endswith("ss")]


def _stems(word: str) -> list[str]:
    """The word, and what its regular endings leave."""
    ends = (
        ("ies", "y"),
        ("s", ""),
        ("es", ""),
        ("ing", ""),
        ("ing", "e"),
        (f"{word[-4:-3]}ing", ""),
        ("ed", ""),
        ("d", ""),
        ("'s", ""),
    )
    return [word, *(word[: -len(end)] + stem for end, stem in ends if word.endswith(end))]


def _wordnet_lemmas(place: str) -> Callable[[str], list[str]]:
    """WordNet's own lemmatiser over the files in a folder or in NLTK's zip."""
    import nltk  # type: ignore[import-untyped]
    from nltk.corpus.reader.wordnet import WordNetCorpusReader  # type: ignore[import-untyped]

    class Files(WordNetCorpusReader):  # type: ignore[misc]
        """Without what lemmas do not need: names of files, which Debian leaves out, and other versions' numbers."""

        def open(self, file: str) -> IO[str]:
            return io.StringIO() if file == "lexnames" else super().open(file)

        def map_wn(self, version: str = "wordnet") -> None:
            del version

        def lemmas(self, word: str) -> list[str]:
            return list(self._morphy(word, "n"))

    if place not in nltk.data.path:
        nltk.data.path.append(place)  # NLTK reads only below the folders named there
    root = nltk.data.ZipFilePathPointer(place, "wordnet/") if place.endswith(".zip") else place
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The multilingual functions", UserWarning)
        lemmas: Callable[[str], list[str]] = Files(root, None).lemmas
    return lemmas
