"""Rows of a CSV file with a header."""

import csv
from collections.abc import Iterator, Sequence

from pipeline.sources.place import Place


def rows(place: Place, name: str, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the row from 1, its fields by column) one by one; a field that a short row lacks is "".

    Raises ValueError where a needed column is missing, or where the file is not CSV in UTF-8.
    """
    with place.lines(name) as stream:
        reader = csv.DictReader(stream, restval="")
        try:
            missing = [column for column in needed if column not in (reader.fieldnames or [])]
            if missing:
                has = ", ".join(reader.fieldnames or []) or "no column"
                lacks = f"column {', '.join(missing)} is missing (it has {has})"
                raise ValueError(f"{place.uri(name)}: {lacks}; add it to the header")
            yield from enumerate(reader, start=1)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{place.uri(name)}: not CSV in UTF-8 after line {reader.line_num}: {error}; mend it there"
            ) from None
