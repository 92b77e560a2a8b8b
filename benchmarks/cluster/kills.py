"""SIGKILL for drivers, workers and machines at seeded random moments of small builds, and what becomes of the datasets.

A build goes on after each kill until it is finished; then its shards must be those of a build that nobody disturbed.
"""

import faulthandler
import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from benchmarks.cluster.machines import Machines, machines
from benchmarks.cluster.played import Part, played, write_source
from benchmarks.cluster.report import Line, line
from pipeline.build import Watch
from pipeline.recipe import Recipe
from pipeline.run import build
from pipeline.runners.actors import ray_runner
from pipeline.runners.local import local
from pipeline.scheduler.settings import Scheduling
from pipeline.stage import Needs
from shards import Dataset, Storage, ledger
from shards.verify import verify

CLIPS = 24
KINDS = ("driver", "worker", "machine")
WEIGHTS = (4, 5, 1)  # a machine takes longest to be missed
MOST_KILLS = 10  # of one build
MOST_LIVES = 20  # of one build: its driver ends by kills, and with a machine that was lost
LONGEST = 240.0  # seconds that a build may take after a kill: more is a hang

UNBLAMED = Scheduling(workers=1, gpu_workers=1, strikes=1000, start_failures=1000)
"""Workers die here of a signal, whatever they have in hand, and not of it."""


@dataclass(frozen=True, kw_only=True)
class Ordeal:
    """What a build went through, and what it came to."""

    seed: int
    kills: tuple[str, ...]
    missing: int  # clips of the undisturbed build that have no end here
    twice: int  # samples beyond the first of their key
    same: bool  # shards and ends are the undisturbed build's
    hung: bool
    violations: int  # that `shards verify` finds
    seconds: float


def kills(folder: Path, wanted: int, minutes: float = float("inf")) -> list[Line]:
    """Until `wanted` kills were survived or so many minutes are over; a folder that stays is gone on with."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ordeals.jsonl"
    done = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
    ends = time.monotonic() + 60 * minutes
    with machines(2) as cluster:
        for one in ordeals(folder, cluster, seed=len(done)):
            done.append(asdict(one))
            with path.open("a") as log:
                log.write(json.dumps(done[-1]) + "\n")
            if sum(len(o["kills"]) for o in done) >= wanted or time.monotonic() > ends:
                break
    return told(done, wanted)


def told(done: Sequence[Mapping[str, Any]], wanted: int) -> list[Line]:
    """What many ordeals, as `asdict` gives them, came to."""
    counts = Counter(kind for one in done for kind in one["kills"])
    return [
        line("kills survived", float(counts.total()), goal=f">= {wanted}"),
        *(line(f"of them of a {kind}", float(counts[kind])) for kind in KINDS),
        line("builds", float(len(done))),
        line("clips missing", float(sum(o["missing"] for o in done)), goal="== 0"),
        line("samples that stand twice", float(sum(o["twice"] for o in done)), goal="== 0"),
        line("builds with other bytes or ends", float(sum(not o["same"] for o in done)), goal="== 0"),
        line("violations found by `shards verify`", float(sum(o["violations"] for o in done)), goal="== 0"),
        line("builds that hung", float(sum(o["hung"] for o in done)), goal="== 0"),
    ]


def ordeals(folder: Path, cluster: Machines, *, seed: int = 0) -> Iterator[Ordeal]:
    """One build after another, each with its own kills."""
    while True:
        dice = random.Random(seed)
        kinds = dice.choices(KINDS, WEIGHTS, k=dice.randint(1, MOST_KILLS))
        yield ordeal(folder, cluster, kinds, seed)
        seed += 1


def _undisturbed(folder: Path) -> tuple[str, Path]:
    """The source, and what nobody disturbed made of it."""
    source, whole = write_source(folder / "source.parquet", CLIPS), folder / "undisturbed" / "clips"
    build(source, str(whole), recipe(), local)  # where it stands already, nothing is done
    return source, whole


def recipe() -> Recipe:
    """Two pools of workers, one with a GPU; several shards."""
    some = Part(seconds=0.01)
    parts = dict.fromkeys(("captioner", "grounder", "segmenter"), some) | {"tracker": Part(seconds=0.03)}
    return played(parts, {"tracker": Needs(gpus=0.5, batch=2)}, ["shards.videos=3"])


def ordeal(folder: Path, cluster: Machines, kinds: Sequence[str], seed: int, *, replace: bool = True) -> Ordeal:
    """A build that suffers kills of these kinds, one after another; `replace`: a new machine comes for each lost."""
    source, whole = _undisturbed(folder)
    dice, began, killed, out = random.Random(seed), time.monotonic(), list[str](), folder / str(seed) / "clips"
    with _Life(source, out, cluster.address) as life:
        for kind in kinds:
            if not life.waits_for_moment(dice) or not life.goes_on():
                break
            killed.append(kind)
            life.moves.unlink(missing_ok=True)
            _kill(kind, life.driver, cluster, dice)
            if kind == "machine" and replace:
                cluster.add()
        hung = not life.ends()
    found, expected = _ends(out), _ends(whole)
    keys = Counter(sample.key for sample in Dataset.open(out))
    return Ordeal(
        seed=seed,
        kills=tuple(killed),
        missing=len(expected.keys() - found.keys()),
        twice=keys.total() - len(keys),
        same=found == expected and _digests(out) == _digests(whole),
        hung=hung,
        violations=len(verify(Storage.at(out)).violations),
        seconds=time.monotonic() - began,
    )


class _Life:
    """A build's driver in a process of its own, started again as often as it dies."""

    def __init__(self, source: str, out: Path, address: str) -> None:
        self.moves = out.with_name("moves")  # a file that is there once answers come
        self.log = out.with_name("driver.log")  # what the drivers say; of one that hung, where it and its cluster are
        self._context = multiprocessing.get_context("forkserver")  # modules are loaded once, for all lives
        self._context.set_forkserver_preload([__name__])
        self._call = (source, str(out), str(self.moves), str(self.log), address)
        self.moves.parent.mkdir(parents=True, exist_ok=True)
        self._lives = 0
        self.driver = self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.kill()
        self.driver.join()

    def _begin(self) -> BaseProcess:
        self._lives += 1
        if self._lives > MOST_LIVES:
            said = self.log.read_text()
            raise RuntimeError(f"the build ends with an error whenever it is started: {said}")
        driver = self._context.Process(target=_live, args=self._call)
        driver.start()
        return driver

    def goes_on(self) -> bool:
        """Whether there is work left; a driver that died is started again."""
        if self.driver.exitcode not in (None, 0):
            self.driver = self._begin()
        return self.driver.exitcode is None

    def waits_for_moment(self, dice: random.Random) -> bool:
        """Until a moment of the work, or at times of what comes before it; False once the work is done, or hangs."""
        ends = time.monotonic() + LONGEST
        if dice.random() < 0.8:
            while not self.moves.exists() and self.goes_on():
                if time.monotonic() > ends:
                    return False
                time.sleep(0.01)
        self.driver.join(dice.uniform(0.0, 1.5))
        return self.goes_on()

    def ends(self) -> bool:
        """Whether the work comes to its end by itself."""
        while self.goes_on():
            self.driver.join(LONGEST)
            if self.driver.exitcode is None:
                self._look()
                return False
        return True

    def _look(self) -> None:
        """Notes where the driver and its cluster are."""
        assert self.driver.pid is not None
        os.kill(self.driver.pid, signal.SIGUSR1)
        with self.log.open("a") as log:
            subprocess.run([sys.executable, "-c", _CLUSTER, self._call[-1]], stdout=log, stderr=log, timeout=60)


_CLUSTER = """
import sys, ray
ray.init(sys.argv[1], log_to_driver=False)
print(*ray.nodes(), ray.available_resources(), sep="\\n")
"""


def _live(source: str, out: str, moves: str, log: str, address: str) -> None:
    writing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    faulthandler.register(signal.SIGUSR1)
    watch = Watch(answered=lambda row: Path(moves).touch())
    build(source, out, recipe(), ray_runner(address, UNBLAMED), watch=watch)


def _kill(kind: str, driver: BaseProcess, cluster: Machines, dice: random.Random) -> None:
    if kind == "driver":
        driver.kill()
        driver.join()
    elif kind == "worker":
        workers = list[int]()
        while not workers and driver.is_alive():
            workers = cluster.workers()
        with suppress(ProcessLookupError, IndexError):
            os.kill(dice.choice(workers), signal.SIGKILL)
    else:
        cluster.kill(dice.randrange(len(cluster)))


def _ends(dataset: Path) -> dict[str, tuple[object, ...]]:
    """Where every clip's way ended, without the time."""
    return {clip: tuple(ending)[:-1] for clip, ending in ledger.endings(Storage.at(dataset)).items()}


def _digests(dataset: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (dataset / "shards").iterdir()}
