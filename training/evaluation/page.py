"""The report as one HTML page: figures, plots, and the videos with their boxes, the worst ones first."""

import base64
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pipeline.report.page import STYLE, image, table
from training.evaluation import plots
from training.evaluation.clips import Wanting, decoded
from training.evaluation.intervals import Estimate
from training.evaluation.metrics import Boxes
from training.evaluation.paper import BETTER, PROTOCOLS
from training.evaluation.run import Evaluation, Measured
from training.evaluation.tables import Row, choices, columns, estimates, rows

SHOWN = 24
"""Videos that are drawn; all others are in the table below them."""

STRIP = 8
"""Frames of a drawn video."""

TILE = 150
"""Pixels of a drawn frame's width."""

TARGET, FOUND = (46, 204, 133), (255, 64, 64)

WORST_BY = ("mIoU", "DINO-I", "CLIP-I", "CLIP-T", "T.Cons")
"""The first of these that a protocol has orders the videos."""

CARDS = ".card { margin: 1.2rem 0; } .card img { display: block; } .card p { margin: .2rem 0; }"


def page(evaluation: Evaluation, beside: Sequence[Row] = (), out: Path | None = None) -> str:
    """The whole page. What comes from data is escaped wherever it stands; videos are linked as seen from `out`."""
    ordered = worst_first(evaluation)
    parts = chain(
        _head(evaluation, beside),
        _plots(evaluation),
        _faults(evaluation),
        _cards(evaluation, ordered[:SHOWN], out),
        _all(evaluation, ordered),
    )
    title = escape(f"{evaluation.name}: evaluation")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}{CARDS}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def worst_first(evaluation: Evaluation) -> list[Measured]:
    """By the first metric of `WORST_BY` that the protocol has; videos that lack it stand at the end."""
    by = next(metric for metric in WORST_BY if metric in evaluation.metrics)

    def badness(one: Measured) -> float:
        value = one.scores.video.get(by)
        return np.inf if value is None else value * BETTER[by]

    return sorted(evaluation.measured, key=badness)


def _head(evaluation: Evaluation, beside: Sequence[Row]) -> Iterator[str]:
    protocol = PROTOCOLS[evaluation.protocol]
    heads, names = columns(protocol), evaluation.settings.titles()
    yield f"<h1>{escape(evaluation.name)}</h1>"
    yield f'<p class="quiet">{len(evaluation.measured)} videos of {escape(evaluation.videos)}</p>'
    yield f"<h2>{escape(protocol.title)}</h2>"
    yield table(
        ("", *(names.get(head, head) for head in heads)), [_row(row, heads, names) for row in rows(evaluation, beside)]
    )
    yield "".join(f'<p class="quiet">{escape(line[2:])}</p>' for line in choices(evaluation.settings, protocol.metrics))


def _row(row: Row, heads: Iterable[str], names: Mapping[str, str]) -> list[str]:
    name, figures = row
    return [name, *(_figure(figures.get(head), head, names) for head in heads)]


def _figure(figure: Estimate | float | None, head: str, names: Mapping[str, str]) -> str:
    if isinstance(figure, Estimate):
        return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
    other = "" if names.get(head, head) == head else f"{head} "
    return "-" if figure is None else f"{other}{figure:.3f}"


def _plots(evaluation: Evaluation) -> Iterator[str]:
    boxed = {"mIoU", "CD"} & set(evaluation.metrics)
    if boxed:
        yield image(plots.iou_over_time(evaluation), "IoU over time")
        yield image(plots.distances(evaluation), "videos by CD")
    yield image(plots.radar(estimates(evaluation), evaluation.settings.titles()), "every metric around a radar")


def _faults(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.faults:
        yield f"<h2>{len(evaluation.faults)} things that could not be measured</h2>"
        named = [(fault.video, fault.what, fault.why, ", ".join(fault.lost)) for fault in evaluation.faults]
        yield table(("video", "what", "why", "metrics lost"), named)


def _cards(evaluation: Evaluation, shown: list[Measured], out: Path | None) -> Iterator[str]:
    yield "<h2>Videos, the worst first</h2>"
    yield '<p class="quiet">Green: target box. Red: the best box that the detector found.</p>'
    for one in shown:
        prompt = one.asked.entry.prompt or "no prompt"
        yield f'<div class="card"><p><b>{escape(one.asked.entry.video)}</b> {escape(prompt)}</p>'
        yield f'<p class="quiet">{escape(_figures_of(one, evaluation))}</p>{_strip(one, evaluation)}'
        yield f"{_player(one, evaluation, out)}</div>"


def _figures_of(one: Measured, evaluation: Evaluation) -> str:
    names = evaluation.settings.titles()
    there = [(names.get(metric, metric), value) for metric, value in one.scores.video.items() if value is not None]
    return ", ".join(f"{name} {value:.3f}" for name, value in there)


def _player(one: Measured, evaluation: Evaluation, out: Path | None) -> str:
    """The video itself, where a browser can play it and it lies on this machine beside the report."""
    path = Path(evaluation.videos, one.asked.entry.video)
    if out is None or path.suffix not in (".mp4", ".webm", ".gif"):
        return ""
    link = escape(Path(os.path.relpath(path.absolute(), out.absolute())).as_posix())
    if path.suffix == ".gif":
        return f'<img alt="the video" src="{link}">'
    return f'<video controls loop muted preload="none" width="{2 * TILE}" src="{link}"></video>'


def _strip(one: Measured, evaluation: Evaluation) -> str:
    """The subject image and a few frames with their boxes, as one picture."""
    try:
        frames, _ = decoded(Path(evaluation.videos, one.asked.entry.video))
    except Wanting as gone:  # since it was measured
        return f"<p>{escape(str(gone))}</p>"
    numbers = np.unique(np.linspace(0, len(frames) - 1, STRIP).round().astype(int)).tolist()
    height = round(TILE * frames.shape[1] / frames.shape[2])
    tiles = [] if one.asked.subject is None else [Image.fromarray(one.asked.subject).resize((TILE, height))]
    tiles += [_tile(frames[n], n, one, height) for n in numbers]
    sheet = Image.new("RGB", (len(tiles) * (TILE + 3) - 3, height), "white")
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place * (TILE + 3), 0))
    sink = io.BytesIO()
    sheet.save(sink, "JPEG", quality=88)
    data = base64.b64encode(sink.getvalue()).decode()
    return f'<img alt="subject and frames with boxes" src="data:image/jpeg;base64,{data}">'


def _tile(
    frame: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], number: int, one: Measured, height: int
) -> Image.Image:
    tile = Image.fromarray(frame).resize((TILE, height), Image.Resampling.LANCZOS)
    scale = TILE / frame.shape[1]
    for boxes, colour in ((one.asked.target, TARGET), (one.scores.found, FOUND)):
        _outline(tile, boxes, number, scale, colour)
    return tile


def _outline(tile: Image.Image, boxes: Boxes | None, number: int, scale: float, colour: tuple[int, int, int]) -> None:
    if boxes is not None and not np.isnan(boxes[number]).any():
        x0, y0, x1, y1 = (boxes[number] * scale).tolist()
        ImageDraw.Draw(tile).rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=2)


def _all(evaluation: Evaluation, ordered: list[Measured]) -> Iterator[str]:
    names = evaluation.settings.titles()
    heads = columns(PROTOCOLS[evaluation.protocol])
    yield "<h2>All videos</h2>"
    body = [
        (one.asked.entry.video, one.asked.entry.noun or "", *(_number(one.scores.video.get(head)) for head in heads))
        for one in ordered
    ]
    yield table(("video", "noun", *(names.get(head, head) for head in heads)), body)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
