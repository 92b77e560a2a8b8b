"""A user study as in the paper (App. A.4): videos of several methods side by side, anonymous, a few questions, votes.

Each method is a folder of videos; those of one name answer one task. Beside a video of any method may lie NAME.txt (the
prompt), NAME.png or NAME.jpg (the subject image) and NAME.boxes.png (the wanted motion).
"""

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from curation_ui.intervals import interval
from curation_ui.members import Place, TooLarge
from curation_ui.tool_wire import StudyMethod, StudyProgress, StudyTally, StudyTask, StudyVote
from shards import Storage
from shards.entry import canonical_json

QUESTIONS = (
    "Which video shows the subject of the picture most faithfully?",
    "In which video does the subject move best along the wanted way?",
    "Which video fits the text best?",
    "Which video is the best as a whole?",
)

_KINDS = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}
_PROMPT = 10_000  # bytes of a prompt that are read


class Voted(ValueError):  # noqa: N818  the name says what is wrong
    """A vote that cannot be taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """What one person answered to one task."""

    id: str
    who: str
    when: float  # seconds since 1970
    task: str
    chosen: tuple[str, ...]  # for each question the method


class Study:
    """The tasks of some methods, and the votes in a folder: each process writes a file of its own, a vote a line."""

    def __init__(
        self, methods: Mapping[str, str], votes: str, *, seed: int = 0, now: Callable[[], float] = time.time
    ) -> None:
        """`methods`: name -> folder. Raises `ValueError` for fewer than two, and where they share no video."""
        if len(methods) < 2:
            raise ValueError("a study compares at least two methods: give --study NAME=FOLDER for each")
        self._folders = {name: Storage.at(folder) for name, folder in methods.items()}
        names = [{_stem(path) for path in folder.list("", ".mp4")} for folder in self._folders.values()]
        self.tasks = sorted(set.intersection(*names))
        if not self.tasks:
            raise ValueError(f"the folders of {', '.join(methods)} share no video's name; name them alike")
        self._seed, self._now, self._secret = seed, now, secrets.token_bytes(32)
        self._votes = Storage.at(votes)
        self._lock = threading.Lock()
        self._path: str | None = None
        self.given = {
            vote.id: vote for path in self._votes.list("", ".jsonl") for vote in _read(self._votes.read(path))
        }

    def next(self, who: str) -> StudyTask:
        """The first task that `who` has not answered, in an order of their own. Raises `KeyError` after the last."""
        done = {vote.task for vote in self.given.values() if vote.who == who}
        left = [task for task in self._order(who, self.tasks) if task not in done]
        if not left:
            raise KeyError(who)
        task = left[0]
        return StudyTask(
            task=task,
            prompt=self._prompt(task),
            subject=self._picture(task, (".png", ".jpg")),
            boxes=self._picture(task, (".boxes.png",)),
            videos=[f"/study/{task}/{self._token(who, task, method)}.mp4" for method in self._methods(who, task)],
            questions=list(QUESTIONS),
            done=len(done),
            of=len(self.tasks),
        )

    def vote(self, who: str, said: StudyVote) -> StudyProgress:
        """Commit an answer; the same `id` again is the same vote. Raises `Voted`."""
        if said.task not in self.tasks:
            raise Voted(f"there is no task {said.task!r}; load the page again")
        methods = self._methods(who, said.task)
        if len(said.answers) != len(QUESTIONS) or not all(0 <= place < len(methods) for place in said.answers):
            raise Voted(f"a vote has {len(QUESTIONS)} answers, each the place of one of {len(methods)} videos from 0")
        chosen = tuple(methods[place] for place in said.answers)
        with self._lock:
            if said.id not in self.given:
                if any((vote.who, vote.task) == (who, said.task) for vote in self.given.values()):
                    raise Voted(f"you have answered {said.task} already")
                vote = Vote(id=said.id, who=who, when=self._now(), task=said.task, chosen=chosen)
                self._write(canonical_json(asdict(vote)) + b"\n")
                self.given[vote.id] = vote
            done = sum(vote.who == who for vote in self.given.values())
        return StudyProgress(done=done, of=len(self.tasks))

    def tally(self) -> StudyTally:
        """For every method how often it was chosen, question by question."""
        votes = list(self.given.values())
        counts = [Counter(vote.chosen[number] for vote in votes) for number in range(len(QUESTIONS))]
        return StudyTally(
            questions=list(QUESTIONS),
            voters=len({vote.who for vote in votes}),
            methods=[
                StudyMethod(method=name, votes=[interval(count[name], len(votes)) for count in counts])
                for name in self._folders
            ],
        )

    def place(self, who: str, task: str, file: str) -> tuple[Place, str]:
        """The bytes behind an address of `next`, and their MIME type. Raises `KeyError`."""
        if task not in self.tasks:
            raise KeyError(task)
        for method, folder in self._folders.items():
            if hmac.compare_digest(file.encode(), f"{self._token(who, task, method)}.mp4".encode()):
                return _place(folder, f"{task}.mp4"), _KINDS[".mp4"]
        if file in ("subject.png", "subject.jpg", "boxes.png"):
            suffix = ".boxes.png" if file == "boxes.png" else f".{file[-3:]}"
            for folder in self._folders.values():
                if folder.exists(f"{task}{suffix}"):
                    return _place(folder, f"{task}{suffix}"), _KINDS[suffix[-4:]]
        raise KeyError(file)

    def _methods(self, who: str, task: str) -> list[str]:
        """In the order in which this person sees them."""
        return self._order(f"{who}\0{task}", list(self._folders))

    def _order(self, of: str, names: Sequence[str]) -> list[str]:
        def place(name: str) -> bytes:
            return hashlib.sha256(f"{self._seed}\0{of}\0{name}".encode()).digest()

        return sorted(names, key=place)

    def _token(self, who: str, task: str, method: str) -> str:
        """Names a video without its method, and to nobody else."""
        return hmac.new(self._secret, f"{who}\0{task}\0{method}".encode(), hashlib.sha256).hexdigest()[:32]

    def _prompt(self, task: str) -> str:
        for folder in self._folders.values():
            if folder.exists(f"{task}.txt"):
                if folder.size(f"{task}.txt") > _PROMPT:
                    raise TooLarge(f"{folder.url}/{task}.txt has more than {_PROMPT} bytes; that is no prompt")
                return folder.read(f"{task}.txt").decode("utf-8", "replace").strip()
        return ""

    def _picture(self, task: str, suffixes: Sequence[str]) -> str | None:
        for folder in self._folders.values():
            for suffix in suffixes:
                if folder.exists(f"{task}{suffix}"):
                    return f"/study/{task}/{'boxes.png' if suffix == '.boxes.png' else f'subject{suffix}'}"
        return None

    def _write(self, line: bytes) -> None:
        """Durable on return; a file that a failed write may have torn is not written to again."""
        path, self._path = self._path, None
        if path is None or not self._votes.is_local:
            when = datetime.fromtimestamp(self._now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            path = f"{when}-{secrets.token_hex(4)}.jsonl"
            self._votes.write(path, line)
        else:
            self._votes.append(path, line)
        self._path = path


def parse_methods(said: Sequence[str]) -> dict[str, str]:
    """NAME=FOLDER of every method. Raises `ValueError`."""
    methods = dict[str, str]()
    for one in said:
        name, sign, folder = one.partition("=")
        if not sign or not name or not folder or name in methods:
            raise ValueError(f"--study {one}: write NAME=FOLDER, each name once")
        methods[name] = folder
    return methods


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _place(folder: Storage, path: str) -> Place:
    size = folder.size(path)
    tag = hashlib.sha256(f"{folder.url}/{path}\0{size}".encode()).hexdigest()
    return Place(storage=folder, path=path, offset=0, size=size, tag=tag)


def _read(data: bytes) -> list[Vote]:
    """Whole lines; one that a crash tore is none."""
    lines = data.split(b"\n")[:-1]
    said = [json.loads(line) for line in lines]
    return [Vote(**{**vote, "chosen": tuple(vote["chosen"])}) for vote in said]
