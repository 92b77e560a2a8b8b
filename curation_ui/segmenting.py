"""A subject segmented and tracked anew from a click or box, by the models of the dataset's recipe, in a process aside.

Torch and the weights are loaded there when somebody first asks, so the server that answers everybody stays light.
"""

import functools
import json
import multiprocessing
import os
import secrets
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from curation_ui.holdings import OwnShards
from curation_ui.shown import Shown
from curation_ui.tool_wire import SegmentJob, SegmentRequest
from shards.diff import mask_iou
from shards.rle import Box, Rle, Size, decode
from shards.sample import Track
from shards.verdicts import Redrawn, Verdict, verdict

if TYPE_CHECKING:
    from pipeline.recipe import Recipe

MOST_WAITING = 8
"""Jobs that wait for their turn; more are refused."""

CLICK_SIZES = (0.1, 0.25, 0.5)
"""Sides of the boxes that are tried around a click, of the picture's shorter side: segmenters here take boxes."""

State: TypeAlias = Literal["waiting", "running", "done", "failed", "accepted", "dismissed"]


@dataclass(kw_only=True)
class Job:
    """One request, from when it was made."""

    name: str
    shown: Shown
    request: SegmentRequest
    noun: str  # of the subject
    id: int  # of the track that comes of it
    future: "Future[tuple[Rle | None, ...]]"
    accepted: bool = False
    iou: float | None = None
    masks: tuple[Rle | None, ...] = field(default=(), repr=False)

    @property
    def state(self) -> State:
        if self.accepted:
            return "accepted"
        if not self.future.done():
            return "running" if self.future.running() else "waiting"
        return "failed" if self.future.exception() else "done"


class Segmenting:
    """The jobs of one server, done one after the other."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def ask(self, shown: Shown, request: SegmentRequest) -> Job:
        """Begin a job. Raises `ValueError` for what cannot be segmented, and where too many wait."""
        own = _own(shown)
        row = own.row_of(request.key)
        said = own.description(row)
        if request.sha256 != own.content[request.key]:
            raise ValueError(f"clip {request.key} is not what you saw any more; look at it again")
        _check(request, (said["height"], said["width"]), len(said["pts"]))
        recipe = _recipe(own.recipe)
        for name in ("segmenter", "tracker"):
            if getattr(recipe, name).model is None:
                raise ValueError(f"the dataset's recipe, {recipe.name}, has no {name}; build with one that has")
        tracks = {track["id"]: track["noun"] for track in said["tracks"]}
        if request.track is not None and request.track not in tracks:
            raise ValueError(f"there is no track {request.track}; there are {', '.join(map(str, tracks))}")
        settings = json.dumps(recipe.settings(), sort_keys=True)
        with self._lock:
            if sum(not job.future.done() for job in self._jobs.values()) >= MOST_WAITING:
                raise ValueError(f"{MOST_WAITING} jobs wait already; ask again when some are done")
            future = self._submitted(settings, own.video(row).read(), len(said["pts"]), request.model_dump_json())
            job = Job(
                name=secrets.token_hex(8),
                shown=shown,
                request=request,
                noun=tracks.get(request.track or 0, said["subject"]),
                id=request.track or max(tracks) + 1,
                future=future,
            )
            self._jobs[job.name] = job
        return job

    def job(self, shown: Shown, name: str) -> Job:
        """Raises `KeyError`."""
        job = self._jobs[name]
        if job.shown.name != shown.name:
            raise KeyError(name)
        if job.state == "done" and not job.masks:
            job.masks = job.future.result()
            job.iou = _iou(job)
        return job

    def accepted(self, job: Job, who: str) -> Verdict:
        """The verdict that takes the new track. Raises `ValueError` where there is none."""
        if job.state not in ("done", "accepted"):
            raise ValueError(f"that segmentation is {job.state}; only one that is done can be taken")
        drawn = Redrawn(id=job.id, noun=job.noun, masks=job.masks).to_text()
        job.accepted = True
        return verdict(who, job.request.key, job.request.sha256, "retrack", drawn, new_id=lambda: job.name)

    def close(self) -> None:
        """End the process aside."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _submitted(self, *arguments: Any) -> "Future[tuple[Rle | None, ...]]":
        """A process that died is replaced."""
        if self._pool is None:
            self._pool = _process_aside()
        try:
            return self._pool.submit(segment_and_track, *arguments)
        except BrokenProcessPool:
            self._pool = _process_aside()
            return self._pool.submit(segment_and_track, *arguments)


def told(job: Job) -> SegmentJob:
    """For the wire."""
    masks = f"/media/{job.shown.name}/segment/{job.name}.masks.json" if job.masks else None
    return SegmentJob(
        job=job.name,
        state=job.state,
        message=_message(job),
        key=job.request.key,
        track=job.request.track,
        iou=job.iou,
        masks=masks,
    )


def masks_of(job: Job) -> dict[str, Any]:
    """In the shape of a shard's masks, with this one track."""
    said = _own(job.shown).description(_own(job.shown).row_of(job.request.key))
    return {"size": [said["height"], said["width"]], "tracks": [{"id": job.id, "counts": list(job.masks)}]}


def segment_and_track(settings: str, mp4: bytes, num_frames: int, said: str) -> tuple[Rle | None, ...]:
    """The masks of every frame; runs in the process aside. Raises `ValueError` where nothing is found."""
    from pipeline.records import Detection
    from shards import video

    request = SegmentRequest.model_validate_json(said)
    segment, follow = _opened(settings)
    with tempfile.TemporaryDirectory(prefix="dreamreel-") as folder:
        path = Path(folder, "clip.mp4")
        path.write_bytes(mp4)
        (frame,) = video.frames(str(path), [request.frame])
        boxes = _boxes(request, frame.shape[:2])
        asked = tuple(Detection(noun="subject", frame=request.frame, box=box, score=None) for box in boxes)
        (segments,) = segment([(frame, asked)])
        size = frame.shape[0], frame.shape[1]
        there = [one for one in segments if request.point is None or _covers(one.mask, request.point, size)]
        if not there:
            raise ValueError("the segmenter finds nothing there; try another frame, or draw a box")
        best = max(there, key=lambda one: one.predicted_iou or 0.0)
        (track,) = follow(str(path), num_frames, (best,))
    if all(mask is None for mask in track.masks):
        raise ValueError("the tracker finds it in no frame; try another frame, or draw a box")
    return tuple(track.masks)


def _process_aside() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_the_server)


def _end_with_the_server() -> None:
    """However that ends: a process aside would wait for work for ever, with its models in memory."""
    server = multiprocessing.parent_process()
    assert server is not None

    def end() -> None:
        server.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


@functools.lru_cache(maxsize=2)
def _opened(settings: str) -> tuple[Any, Any]:
    """The recipe's segmenter and tracker, with their weights."""
    from pipeline.models.deva_tracker import DevaSemiOnline, DevaTracker

    recipe = _recipe(json.loads(settings))
    tracker: Any = recipe.tracker.model
    if isinstance(tracker, DevaSemiOnline):  # which finds subjects by itself: here one is given
        shared = {name: getattr(tracker, name) for name in DevaTracker.model_fields}
        tracker = DevaTracker(**shared)
    assert recipe.segmenter.model is not None
    return recipe.segmenter.model.open(), tracker.open()


def _recipe(settings: Mapping[str, Any]) -> "Recipe":
    from pipeline.recipe import recipe_of  # loads every stage, which the page does without until now

    return recipe_of(settings)


def _boxes(request: SegmentRequest, size: Size) -> list[Box]:
    if request.box is not None:
        return [request.box]
    assert request.point is not None
    x, y = request.point
    halves = [max(2, round(side * min(size) / 2)) for side in CLICK_SIZES]
    return [(max(0, x - h), max(0, y - h), min(size[1], x + h), min(size[0], y + h)) for h in halves]


def _covers(mask: Rle, point: tuple[int, int], size: Size) -> bool:
    return bool(decode(mask, size)[point[1], point[0]])


def _check(request: SegmentRequest, size: Size, num_frames: int) -> None:
    if (request.box is None) == (request.point is None):
        raise ValueError("give a box or a click, one of both")
    if request.frame >= num_frames:
        raise ValueError(f"frame {request.frame} is not in the clip, which has {num_frames} from 0")
    height, width = size
    if request.box is not None:
        x0, y0, x1, y1 = request.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"box {list(request.box)} is not inside the picture of {width}x{height}")
    if request.point is not None and not (0 <= request.point[0] < width and 0 <= request.point[1] < height):
        raise ValueError(f"the click at {list(request.point)} is not inside the picture of {width}x{height}")


def _iou(job: Job) -> float | None:
    """With the track that the new one would replace."""
    if job.request.track is None:
        return None
    own = _own(job.shown)
    row = own.row_of(job.request.key)
    said: Mapping[str, Any] = own.description(row)
    size = said["height"], said["width"]
    old = own.track_masks(row)[job.request.track]
    tracks = [Track.of_masks(masks, id=1, noun=job.noun, size=size) for masks in (old, job.masks)]
    return mask_iou(tracks[0], tracks[1], size)


def _own(shown: Shown) -> OwnShards:
    if not isinstance(shown.holdings, OwnShards):
        raise ValueError(str(shown.holdings.why_not))
    return shown.holdings


def _message(job: Job) -> str:
    error = job.future.exception() if job.future.done() else None
    if isinstance(error, BrokenProcessPool):
        return "the process that segments died, perhaps for want of memory; ask again"
    if error is not None:
        return " ".join(str(error).split()) or type(error).__name__
    return {
        "waiting": "waits for its turn",
        "running": "segmenting and tracking",
        "done": "look at it, then take it",
    }.get(job.state, "")
