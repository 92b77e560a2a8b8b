"""Clips that are no samples, as far as they came: the ledger's record of each, and its video, encoded once more."""

import functools
import json
import threading
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from curation_ui.members import Place, Unplayable
from shards import Storage, ledger

_AT_ONCE = 2  # clips that are encoded at a time, for a page of thumbnails asks for many


class StoppedClips:
    """Of one dataset. What is encoded lies in a folder of the page's, never in the dataset."""

    def __init__(self, storage: Storage, recipe: Mapping[str, Any], cache: Storage) -> None:
        self._storage, self._recipe, self._cache = storage, recipe, cache
        self._shard = functools.lru_cache(maxsize=8)(self._read_shard)
        self._room = threading.Semaphore(_AT_ONCE)

    def record(self, shard: int, video: str, key: str) -> dict[str, Any]:
        """All that the stages added to a clip before it stopped, and its `video`; {} for one that is no clip yet."""
        rows = self._shard(shard)
        cut = [row for row in rows.get(video, ()) if row.stage == "cutter" and row.added is not None]
        spans = {span["key"]: span for row in cut for span in json.loads(row.added or "[]")}
        if key not in spans:
            return {}
        record = {**spans[key], "video": self._video(video)}
        for row in rows.get(video, ()):
            if row.clip == key and row.added is not None and row.outcome == "done":
                record |= json.loads(row.added)
        return record

    def place(self, record: Mapping[str, Any]) -> Place:
        """The clip's video, the same to the bit as it was judged. Raises `Unplayable` where the source has no such."""
        from pipeline.recipe import recipe_of
        from pipeline.records import Encoded, Rejected, Video
        from pipeline.stages.encoder import part_path

        names = Encoded.__dataclass_fields__
        if "sha256" not in record:
            raise Unplayable("missing: it stopped before it was encoded")
        path = part_path(record["key"])
        with self._room:
            if not self._cache.exists(path):
                encoder = recipe_of(self._recipe).encoder.model_copy(update={"dataset": self._cache.url})
                clip = Encoded(
                    **{name: record[name] for name in names if name != "video"}, video=Video(**record["video"])
                )
                (answer,) = encoder.open()([clip])
                if isinstance(answer, Rejected):
                    raise Unplayable(f"missing: {answer.why} {answer.value}")
        return Place(storage=self._cache, path=path, offset=0, size=self._cache.size(path), tag=record["sha256"])

    def _read_shard(self, shard: int) -> dict[str, list[ledger.Row]]:
        """A planned shard's rows by video, oldest first."""
        rows: dict[str, list[ledger.Row]] = {}
        for row in ledger.read(self._storage, shard):
            rows.setdefault(row.video, []).append(row)
        return rows

    def _video(self, video: str) -> dict[str, Any]:
        """What the plan says of a video, without what it brings: that was read when it was judged."""
        plan = ledger.read_plan(self._storage, ["video", "record"])
        found = plan.filter(pc.equal(plan["video"], video))["record"].to_pylist()
        if not found:
            raise Unplayable(f"missing: the plan does not know {video}")
        said: dict[str, Any] = json.loads(found[-1])
        return {name: said[name] for name in ("id", "uri", "frame_rate")}


def tracks_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tracks that were found, as a shard's masks have them; of a clip that stopped before, none."""
    return [{"id": track["id"], "counts": track["masks"]} for track in record.get("tracks", ())]
