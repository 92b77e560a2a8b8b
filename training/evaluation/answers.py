"""What models answered, kept by the video's content: one small file a video, in which another question finds its place.

answers/SHA256.json    {"facts": the decoded video's size and length, "answers": {key of a probe: its answer}}
"""

import json
from dataclasses import asdict
from typing import Any

from shards import Storage
from training.evaluation.clips import VideoFacts
from training.evaluation.probe import Answer

FOLDER = "answers"


class Answers:
    """The answers in a folder. A file appears whole, so that a killed evaluation has each video's or none."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read(self, sha256: str) -> tuple[VideoFacts | None, dict[str, Answer]]:
        """What is known of a video; None and nothing of one that was never asked about."""
        path = _path(sha256)
        if not self._storage.exists(path):
            return None, {}
        try:
            said: dict[str, Any] = json.loads(self._storage.read(path))
            return VideoFacts(**said["facts"]), said["answers"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise ValueError(
                f"{self._storage.url}/{path} is damaged; remove it, and its video is measured again"
            ) from None

    def write(self, sha256: str, facts: VideoFacts, answers: dict[str, Answer]) -> None:
        said = {"facts": asdict(facts), "answers": answers}
        self._storage.write(_path(sha256), json.dumps(said).encode())


def _path(sha256: str) -> str:
    return f"{FOLDER}/{sha256}.json"
