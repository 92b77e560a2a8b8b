"""Puts the measured quality into the card of the embedded weights: `python -m benchmarks.annotators.card`."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.annotators.report import RESULTS, Line, lines_of, table
from pipeline.models.catalog import PACKAGED

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotators.card", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS / "annotators.json", help="(default: %(default)s)")
    parser.add_argument("--card", type=Path, default=PACKAGED / "README.md", help="(default: %(default)s)")
    args = parser.parse_args()
    try:
        card = filled(args.card.read_text(), json.loads(args.results.read_text()))
    except ValueError as error:
        print(f"{args.card}: {error}", file=sys.stderr)
        return 2
    args.card.write_text(card)
    return 0


def filled(card: str, results: Mapping[str, Any]) -> str:
    """`card` with a new table between its marks. Raises ValueError where it has no marks."""
    head, begin, rest = card.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no place for the table: put the lines {BEGIN} and {END} where it belongs")
    return f"{head}{BEGIN}\n{table(headlines(results))}\n{END}{tail}"


def headlines(results: Mapping[str, Any]) -> list[Line]:
    """The lines that have a goal, and the same things as others do them."""
    lines = lines_of(results)
    wanted = {(line.section, line.what) for line in lines if line.goal is not None}
    return [line for line in lines if (line.section, line.what) in wanted]


if __name__ == "__main__":
    sys.exit(main())
