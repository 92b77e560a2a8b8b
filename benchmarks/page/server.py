"""The page's server: start to a sorted first page, linked facets, search, verdicts, ranges; beside SQLite where told.

    python -m benchmarks.page.server [--clips N] [--facet-clips N] [--rounds N] [--out FOLDER]

Datasets are synthetic: sidecars alone, of clips with 12 scores in 2,538 classes. What is compared runs interleaved,
round by round, over the same rows; a ratio is that of one round, and the table gives median and span. Milliseconds are
the wall's, on whatever else the machine did, unless they are a core's: the load at the end is in the results.
"""

import argparse
import http.client
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page.goals import Line, ratio, record
from benchmarks.page.synthetic import write_synthetic
from curation_ui.desk import Desk
from curation_ui.guard import Door
from curation_ui.playing import Player
from curation_ui.server import Server, application, listen
from curation_ui.table import EVERYBODY, Table
from curation_ui.wire import FacetsRequest, Query
from shards import Dataset

FACETS = ("subject", "duration", "motion.iou", "subject.area", "border")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page.server", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=230_000, help="of the started dataset (default: %(default)s)")
    parser.add_argument("--facet-clips", type=int, default=1_000_000, help="of the facets (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of every comparison (default: %(default)s)")
    parser.add_argument("--verdicts", type=int, default=300, help="to give one after the other (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = write_synthetic(Path(folder, "start"), args.clips)
        lines = [*starting(small, args.rounds), *judging(small, args.verdicts)]
        large = write_synthetic(Path(folder, "facets"), args.facet_clips, frames=2)
        lines += faceting(large, args.rounds)
    record("server", lines, {name: value for name, value in vars(args).items() if name != "out"}, args.out)


def starting(dataset: Path, rounds: int) -> list[Line]:
    """From the command to the answer of a first page that is sorted by a score, the process's start included."""
    seconds, busy, imports = [], [], []
    for _ in range(rounds):
        began, spent = time.monotonic(), _children()
        command = [sys.executable, "-m", "dreamreel", "review", str(dataset), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert server.stdout is not None
        port = int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
        _ask(port, "POST", f"/api/{dataset.name}/clips", {"sort": "motion.iou"})
        seconds.append(time.monotonic() - began)
        server.terminate()
        server.wait()
        server.stdout.close()
        busy.append(_children() - spent)
        imports.append(_imports())
    what = f"start to a sorted first page of {len(Dataset.open(dataset)):,} clips"
    beside = {"loading the server alone": imports}
    return [
        Line(what=what, unit="s", values=seconds, beside=beside, goal=("median", "<=", 2)),
        Line(what="the same, seconds of a core", unit="s", values=busy),
    ]


def _children() -> float:
    """Seconds of a core that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _imports() -> float:
    """Seconds that Python takes to load the server and nothing else."""
    began = time.monotonic()
    modules = "dreamreel, curation_ui.server, curation_ui.desk, duckdb"
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
    return time.monotonic() - began


def judging(dataset: Path, count: int) -> list[Line]:
    """Verdicts one after the other, each waiting for its answer, and a search among the captions."""
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    desk = Desk([str(dataset)], Player(dataset.parent / "cache"))
    shown = desk[dataset.name]
    ready = threading.Event()
    server = Server(application(desk, Door.at("127.0.0.1")), ready.set)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    ready.wait()
    cookie = _ask(port, "POST", "/api/session", {"who": "bench"})[0]["set-cookie"].partition(";")[0]
    times = []
    for number, key in enumerate(shown.keys_of(range(count))):
        action = "reject" if number % 2 else "accept"
        said = {"id": f"{number:016x}", "key": key, "sha256": shown.holdings.content[key], "action": action}
        began = time.monotonic()
        _ask(port, "POST", f"/api/{dataset.name}/verdicts", {"verdicts": [said]}, cookie)
        times.append(time.monotonic() - began)
    _ask(port, "POST", f"/api/{dataset.name}/clips", {"filter": {"text": "warm"}})  # fills the index
    searches = []
    for word in ("meadow", "red noun1", "harbour 12", "shy", "noun7 beach"):
        began = time.monotonic()
        _ask(port, "POST", f"/api/{dataset.name}/clips", {"filter": {"text": word}, "sort": "motion.iou"})
        searches.append(time.monotonic() - began)
    server.should_exit = True
    thread.join()
    lost = count - len(Dataset.open(dataset).verdicts().events())
    rates = [60 / seconds for seconds in times]
    return [
        Line(what="verdicts one after the other: a minute", unit="", values=rates, goal=("median", ">=", 300)),
        Line(what="of them lost", unit="", values=[lost], goal=("median", "<=", 0)),
        Line(what="search and sort", unit="ms", values=_ms(searches)),
    ]


def faceting(dataset: Path, rounds: int) -> list[Line]:
    """Five linked facets under a filter of two of them, by the page's table and by SQLite over the same rows."""
    from curation_ui.index import INDEX
    from curation_ui.rows import of_samples

    rows = of_samples(Dataset.open(dataset, INDEX).index)
    table = Table(rows)
    database = _sqlite(rows.select(["key", "caption", *FACETS]))
    generator = np.random.default_rng(0)
    ours, theirs, pages = [], [], []
    for number in range(rounds * 4):
        low = float(generator.random() * 0.6)
        words = [f"noun{1 + number % 7}", f"noun{8 + number % 5}"]
        filter_ = {
            "ranges": [{"column": "motion.iou", "low": low, "high": low + 0.3}],
            "choices": [{"column": "subject", "values": words}],
        }
        asked = FacetsRequest.model_validate({"filter": filter_, "columns": list(FACETS)})
        ours.append(_timed(partial(_facets, table, asked)))
        query = Query.model_validate({"sort": "border", "filter": filter_})
        pages.append(_timed(partial(table.rows, query, EVERYBODY, None)))
        if number % 4 == 0:
            theirs.append(_timed(partial(_sqlite_facets, database, low, words)))
    medians = [statistics.median(ours[4 * k : 4 * k + 4]) for k in range(len(theirs))]
    what = f"five linked facets of {rows.num_rows:,} clips"
    return [
        Line(what=what, unit="ms", values=_ms(ours), beside={"SQLite": _ms(theirs)}, goal=("p95", "<=", 250)),
        ratio("the same, by SQLite", theirs, medians),
        Line(what="a sorted page of the same filter", unit="ms", values=_ms(pages)),
    ]


def _facets(table: Table, asked: FacetsRequest) -> None:
    for name in FACETS:
        table.facet(name, asked, EVERYBODY, None)


def _sqlite(rows: Any) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    database.execute(f"CREATE TABLE clips ({names})")
    for batch in rows.to_batches(max_chunksize=50_000):
        marks = ", ".join("?" * rows.num_columns)
        database.executemany(f"INSERT INTO clips VALUES ({marks})", zip(*batch.to_pydict().values(), strict=True))
    return database


def _sqlite_facets(database: sqlite3.Connection, low: float, words: Sequence[str]) -> None:
    """Each facet under the filter but for its own part, in 40 bins or by word."""
    parts = {"motion.iou": f'"motion.iou" BETWEEN {low} AND {low + 0.3}', "subject": f"subject IN {tuple(words)!r}"}
    for name in FACETS:
        where = " AND ".join(part for column, part in parts.items() if column != name)
        value = name if name == "subject" else f'CAST("{name}" * 40 AS INT)'
        database.execute(f"SELECT {value} AS v, count(*) FROM clips WHERE {where} GROUP BY v").fetchall()


def _ask(port: int, method: str, path: str, body: Any, cookie: str = "") -> tuple[dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"content-type": "application/json", "cookie": cookie}
    connection.request(method, path, json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {data.decode()}")
    return {name.lower(): value for name, value in answer.getheaders()}, json.loads(data)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _ms(seconds: Sequence[float]) -> list[float]:
    return [1000 * one for one in seconds]


if __name__ == "__main__":
    main()
