"""All clips of a dataset as one table that filters, sorts and counts fast enough to brush over; kept in memory."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa

from curation_ui.wire import Choice, FacetsRequest, Filter, Histogram, Query, State, Word, Words
from shards import bare

Found: TypeAlias = Sequence[int] | None  # rows that a search found, None: no search

EVERYBODY = ""
"""The viewer who sees what all people together decided."""

REVIEW = {"state": "open", "flagged": "", "edited": ""}
"""Columns that people's decisions fill, and what stands there without one."""

_SHUT: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
    "threads": "2",
}


class UnknownColumn(ValueError):  # noqa: N818  the name says what is wrong
    """A column that the table does not have; the message names those that it has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What one viewer sees decided of a row."""

    row: int
    state: State
    flagged: str
    edited: str
    subject: str | None
    caption: str | None


class Table:
    """Rows 0..N-1 with columns of numbers and words. May be asked from threads; one thread at a time decides."""

    def __init__(self, rows: pa.Table) -> None:
        self._database = duckdb.connect(":memory:", config=_SHUT)
        self._database.register("given", rows)
        self._database.execute("CREATE TABLE clips AS SELECT row_number() OVER () - 1 AS row, * FROM given")
        self._database.unregister("given")
        self._database.execute(
            "CREATE TABLE decided (viewer VARCHAR, row BIGINT, state VARCHAR, flagged VARCHAR, edited VARCHAR, "
            "subject VARCHAR, caption VARCHAR)"
        )
        self.kinds = {field.name: _kind(field.type) for field in rows.schema} | dict.fromkeys(REVIEW, "word")
        self.num_rows: int = rows.num_rows
        self._viewers: set[str] = set()
        self._edges: dict[tuple[str, int], list[float]] = {}

    def decide(self, viewer: str, decided: Iterable[Decided]) -> None:
        """What `viewer` sees decided of these rows from now on."""
        values = [(viewer, d.row, d.state, d.flagged, d.edited, d.subject, d.caption) for d in decided]
        if not values:
            return
        columns = ["viewer", "row", "state", "flagged", "edited", "subject", "caption"]
        types = [pa.string(), pa.int64(), *(pa.string(),) * 5]
        arrays = [pa.array(column, type_) for column, type_ in zip(zip(*values, strict=True), types, strict=True)]
        with self._database.cursor() as cursor:
            cursor.register("fresh", pa.table(dict(zip(columns, arrays, strict=True))))
            cursor.execute("BEGIN")
            cursor.execute("DELETE FROM decided WHERE viewer = ? AND row IN (SELECT row FROM fresh)", [viewer])
            cursor.execute("INSERT INTO decided SELECT * FROM fresh")
            cursor.execute("COMMIT")
        self._viewers.add(viewer)

    def count(self, filter_: Filter, viewer: str, found: Found) -> int:
        """Rows that the filter lets through."""
        where, values = self._where(filter_)
        return int(self._rows(f"SELECT count(*) FROM seen{where}", viewer, found, values)[0][0])

    def rows(self, query: Query, viewer: str, found: Found) -> list[int]:
        """Numbers of the rows of a query, in its order."""
        where, values = self._where(query.filter)
        order = self._order(query)
        limit = f" LIMIT {query.limit} OFFSET {query.offset}"
        asked = f"SELECT row FROM seen{where} ORDER BY {order}{limit}"
        return [int(row) for (row,) in self._rows(asked, viewer, found, values)]

    def records(self, rows: Sequence[int], columns: Sequence[str], viewer: str) -> list[dict[str, Any]]:
        """These columns of these rows, in the order of `rows`."""
        names = ", ".join(self._quoted(name) for name in columns)
        got = self._rows(f"SELECT row, {names} FROM seen", viewer, rows, [])
        by_row = {row[0]: dict(zip(columns, row[1:], strict=True)) for row in got}
        return [by_row[row] for row in rows]

    def strata(self, by: str | None, filter_: Filter, viewer: str, found: Found) -> list[tuple[int, str]]:
        """Each row under the filter with its stratum: a word, or a number's quarter of all rows."""
        where, values = self._where(filter_)
        if by is None:
            stratum = "''"
        elif self.kinds.get(by) == "number":
            name = self._quoted(by)
            stratum = f"CASE WHEN {name} IS NULL THEN '' ELSE 'quarter ' || ntile(4) OVER (ORDER BY {name}, row) END"
        else:
            stratum = f"coalesce({self._quoted(by)}, '')"
        asked = f"SELECT row, {stratum} FROM seen{where} ORDER BY row"
        return [(int(row), str(name)) for row, name in self._rows(asked, viewer, found, values)]

    def facet(self, name: str, request: FacetsRequest, viewer: str, found: Found) -> Histogram | Words:
        """Counts of a column under the filter, but for what the filter says of this column itself."""
        without = _without(request.filter, name)
        if self.kinds.get(name) == "number":
            return self._histogram(name, without, request.bins, viewer, found)
        return self._words(name, without, request.words, viewer, found)

    def words(self, name: str, viewer: str = EVERYBODY) -> list[Word]:
        """Every word of a column with its count, most frequent first."""
        return self._words(name, Filter(), 1_000_000, viewer, None).words

    def column(self, name: str) -> Any:
        """All values of a number's column in the order of rows: float64 [N], NaN where there is none."""
        with self._database.cursor() as cursor:
            got = cursor.execute(f"SELECT {self._quoted(name)}::DOUBLE AS v FROM clips ORDER BY row").fetchnumpy()["v"]
        return np.ma.filled(np.ma.asarray(got, np.float64), np.nan)

    def _histogram(self, name: str, filter_: Filter, bins: int, viewer: str, found: Found) -> Histogram:
        edges = self._edges_of(name, bins)
        where, values = self._where(filter_)
        if not edges:
            missing = int(self._rows(f"SELECT count(*) FROM seen{where}", viewer, found, values)[0][0])
            return Histogram(column=name, edges=[], counts=[], missing=missing)
        width, quoted = (edges[-1] - edges[0]) / (len(edges) - 1), self._quoted(name)
        place = f"floor(({quoted} - ({edges[0]!r})) / {width!r})::INTEGER"
        place = f"CASE WHEN {quoted} IS NOT NULL THEN greatest(0, least({place}, {len(edges) - 2})) END"
        asked = f"SELECT {place} AS bin, count(*) FROM seen{where} GROUP BY bin"
        got = dict(self._rows(asked, viewer, found, values))
        counts = [int(got.get(number, 0)) for number in range(len(edges) - 1)]
        return Histogram(column=name, edges=edges, counts=counts, missing=int(got.get(None, 0)))

    def _words(self, name: str, filter_: Filter, most: int, viewer: str, found: Found) -> Words:
        where, values = self._where(filter_)
        word = f"coalesce({self._quoted(name)}, '')"
        asked = f"SELECT {word} AS word, count(*) AS n FROM seen{where} GROUP BY word"
        listed = f"SELECT word, n, count(*) OVER () FROM ({asked}) ORDER BY n DESC, word LIMIT {most}"
        got = self._rows(listed, viewer, found, values)
        others = int(got[0][2]) - len(got) if got else 0
        return Words(column=name, words=[Word(word=word, count=n) for word, n, _ in got], others=others)

    def _edges_of(self, name: str, bins: int) -> list[float]:
        """Over all rows; whole numbers that are few get a bin each."""
        if (name, bins) not in self._edges:
            quoted = self._quoted(name)
            asked = f"SELECT min({quoted}), max({quoted}), bool_and({quoted} = floor({quoted})) FROM clips"
            lowest, highest, whole = self._rows(asked, EVERYBODY, None, [])[0]
            self._edges[name, bins] = [] if lowest is None else _edges(float(lowest), float(highest), bins, bool(whole))
        return self._edges[name, bins]

    def _rows(self, asked: str, viewer: str, found: Found, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The answer to `asked`, which selects from `seen`: the clips as `viewer` sees them."""
        seen, who = self._seen(viewer)
        with self._database.cursor() as cursor:
            if found is not None:
                cursor.register("found", pa.table({"row": bare.array(np.asarray(found, np.int64))}))
                seen += " SEMI JOIN found USING (row)"
            return cursor.execute(f"WITH seen AS ({seen}) {asked}", [*who, *values]).fetchall()

    def _seen(self, viewer: str) -> tuple[str, list[str]]:
        if viewer not in self._viewers:
            blank = ", ".join(f"'{value}' AS {name}" for name, value in REVIEW.items())
            return f"SELECT *, {blank} FROM clips", []
        texts = ", ".join(f"coalesce(d.{name}, clips.{name}) AS {name}" for name in ("subject", "caption"))
        marks = ", ".join(f"coalesce(d.{name}, '{value}') AS {name}" for name, value in REVIEW.items())
        mine = "(SELECT * FROM decided WHERE viewer = ?)"
        return f"SELECT clips.* REPLACE ({texts}), {marks} FROM clips LEFT JOIN {mine} AS d USING (row)", [viewer]

    def _where(self, filter_: Filter) -> tuple[str, list[Any]]:
        conditions, values = [], list[Any]()
        for range_ in filter_.ranges:
            name = self._quoted(range_.column)
            if self.kinds[range_.column] != "number":
                raise UnknownColumn(f"{range_.column} holds words; choose some of them instead of a range")
            conditions.append(f"{name} IS NOT NULL")
            for sign, end in ((">=", range_.low), ("<=", range_.high)):
                if end is not None:
                    conditions.append(f"{name} {sign} ?")
                    values.append(end)
        for choice in filter_.choices:
            conditions.append(self._chosen(choice))
            values += choice.values
        return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values

    def _chosen(self, choice: Choice) -> str:
        name, marks = self._quoted(choice.column), ", ".join("?" * len(choice.values))
        return f"coalesce({name}::VARCHAR, '') IN ({marks})"

    def _order(self, query: Query) -> str:
        if query.seed is not None:  # the order of `shards.select.rank`
            return f"sha256(concat('{query.seed}', chr(0), key)), row"
        if query.sort is None:
            return "row DESC" if query.descending else "row"
        return f"{self._quoted(query.sort)} {'DESC' if query.descending else 'ASC'} NULLS LAST, row"

    def _quoted(self, name: str) -> str:
        if name not in self.kinds:
            raise UnknownColumn(f"there is no column {name!r}; there are {', '.join(self.kinds)}")
        return '"' + name.replace('"', '""') + '"'


def _kind(type_: pa.DataType) -> str:
    return "number" if pa.types.is_integer(type_) or pa.types.is_floating(type_) else "word"


def _without(filter_: Filter, name: str) -> Filter:
    ranges = [range_ for range_ in filter_.ranges if range_.column != name]
    choices = [choice for choice in filter_.choices if choice.column != name]
    return filter_.model_copy(update={"ranges": ranges, "choices": choices})


def _edges(lowest: float, highest: float, bins: int, whole: bool) -> list[float]:
    if whole and highest - lowest < bins:
        return [lowest - 0.5 + number for number in range(int(highest - lowest) + 2)]
    if lowest == highest:
        margin = abs(lowest) / 2 or 0.5
        lowest, highest = lowest - margin, highest + margin
    return [lowest + (highest - lowest) * number / bins for number in range(bins + 1)]


def of_numbers(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is no number: NaN becomes None, for JSON knows none."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in columns.items()}
