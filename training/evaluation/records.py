"""An evaluation as Parquet: a row for each frame, a row for each video, and where they come from in the metadata."""

import io
import json
import math
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards import Storage
from training.evaluation.run import Evaluation, Measured

FRAMES = "frames.parquet"
VIDEOS = "videos.parquet"


def write_records(storage: Storage, evaluation: Evaluation) -> None:
    """`frames.parquet` and `videos.parquet`. Columns of figures bear the names of the models that gave them."""
    about = {
        "name": evaluation.name,
        "protocol": evaluation.protocol,
        "settings": evaluation.settings.model_dump(mode="json"),
        "code": version("dreamreel"),
        "titles": evaluation.settings.titles(),
    }
    metadata = {"dreamreel": json.dumps(about)}
    titles = evaluation.settings.titles()
    frames = [row for one in evaluation.measured for row in _frame_rows(one, titles)]
    videos = [_video_row(one, evaluation, titles) for one in evaluation.measured]
    for path, rows in ((FRAMES, frames), (VIDEOS, videos)):
        table = pa.Table.from_pylist(rows).replace_schema_metadata(metadata)
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        storage.write(path, sink.getvalue())


def _video_row(one: Measured, evaluation: Evaluation, titles: dict[str, str]) -> dict[str, Any]:
    asked, facts = one.asked, one.asked.facts
    faults = [f"{fault.what}: {fault.why}" for fault in evaluation.faults if fault.number == one.number]
    return {
        "number": one.number,
        "video": asked.entry.video,
        "sha256": asked.sha256,
        "prompt": asked.entry.prompt,
        "noun": asked.entry.noun,
        "height": facts.height,
        "width": facts.width,
        "num_frames": facts.num_frames,
        "fps": facts.fps,
        **{titles.get(metric, metric): value for metric, value in one.scores.video.items()},
        "faults": faults,
    }


def _frame_rows(one: Measured, titles: dict[str, str]) -> list[dict[str, Any]]:
    """T.Cons of a frame is that with the next."""
    scores, target = one.scores, one.asked.target
    rows = []
    for number in range(one.asked.facts.num_frames):
        row: dict[str, Any] = {"number": one.number, "video": one.asked.entry.video, "frame": number}
        for metric in scores.video:
            if metric in scores.frames:
                values = scores.frames[metric]
                row[titles.get(metric, metric)] = _number(values[number]) if number < len(values) else None
        row["target"] = None if target is None else _box(target[number])
        row["found"] = None if scores.found is None else _box(scores.found[number])
        row["score"] = None if scores.found_scores is None else _number(scores.found_scores[number])
        rows.append(row)
    return rows


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _box(box: Any) -> list[float] | None:
    return None if math.isnan(box[0]) else [float(edge) for edge in box]
