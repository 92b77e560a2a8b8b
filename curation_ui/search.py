"""Searching captions, subjects and video names by the beginnings of words: SQLite's full-text index, in memory."""

import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable

_CACHED = 16  # searches that are kept, because a grid, its facets and its keys ask the same one


class Search:
    """An index over rows of texts. It is filled by a thread of its own, from `start` or the first search on."""

    def __init__(self, texts: Iterable[tuple[str, ...]]) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("CREATE VIRTUAL TABLE texts USING fts5(words, content='', tokenize='unicode61')")
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, list[int]] = OrderedDict()
        self._filled = threading.Event()
        self._filling = threading.Thread(target=self._fill, args=(texts,), daemon=True)

    def start(self) -> None:
        """Begin to fill the index, if that has not begun."""
        with self._lock:
            if self._filling.ident is None:
                self._filling.start()

    def rows(self, text: str) -> list[int] | None:
        """Rows that hold every word of `text`, rising; None where it has no word."""
        query = match_of(text)
        if query is None:
            return None
        self.start()
        self._filled.wait()
        with self._lock:
            if query not in self._answers:
                got = self._database.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid", (query,))
                self._answers[query] = [row for (row,) in got]
                if len(self._answers) > _CACHED:
                    self._answers.popitem(last=False)
            self._answers.move_to_end(query)
            return self._answers[query]

    def _fill(self, texts: Iterable[tuple[str, ...]]) -> None:
        rows = ((row, " \n ".join(filter(None, parts))) for row, parts in enumerate(texts))
        try:
            self._database.executemany("INSERT INTO texts(rowid, words) VALUES (?, ?)", rows)
        finally:
            self._filled.set()


def match_of(text: str) -> str | None:
    """What a person typed as an FTS5 query: all words, each by its beginning; nothing in it is an operator."""
    words = re.findall(r"\w+", text)
    return " AND ".join(f'"{word}"*' for word in words) or None


def matches(text: str, *parts: str) -> bool:
    """The same question about one row's texts."""
    there = [word.lower() for part in parts for word in re.findall(r"\w+", part)]
    return all(any(word.startswith(wanted.lower()) for word in there) for wanted in re.findall(r"\w+", text))
