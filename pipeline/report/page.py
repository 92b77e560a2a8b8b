"""The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

import base64
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import chain
from typing import Any

import numpy as np
import yaml

from pipeline.moment import duration
from pipeline.report import plots
from pipeline.report.facts import Facts, GivenUp, Reason

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #22252b; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0; } td, th { padding: .15rem .9rem .15rem 0; text-align: left; }
th { font-weight: 600; border-bottom: 1px solid #c9ced6; } td.n, th.n { text-align: right; }
td { border-bottom: 1px solid #edf0f3; vertical-align: top; } img { max-width: 100%; }
pre { background: #f5f6f8; padding: .8rem; overflow-x: auto; font-size: 12.5px; } .quiet { color: #6a707a; }
.figures { display: flex; flex-wrap: wrap; gap: 1.6rem; margin: 1rem 0; }
.figures b { display: block; font-size: 1.35rem; }
"""


def page(facts: Facts, price: float | None) -> str:
    """The whole page. What comes from data is escaped wherever it stands."""
    body = "\n".join(chain(_head(facts), _time(facts), _stages(facts), _cost(facts, price), _destinations(facts)))
    body += "\n" + "\n".join(chain(_given_up(facts), _recipe(facts), _runs(facts)))
    title = escape(f"{facts.info.name}: report")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _head(facts: Facts) -> Iterator[str]:
    ended = facts.runs[-1][-1].ended if facts.runs else None
    yield f"<h1>{escape(facts.info.name)}</h1>"
    yield f'<p class="quiet">{escape(facts.url)}, from {escape(str(facts.info.source))}; as of {_when(time.time())}</p>'
    if facts.left:
        state = "was stopped" if ended == "stopped" else "is under way, or was cut off"
        yield f"<p>The build {state}: {facts.left:,} planned videos are in unfinished shards. "
        yield "Run the same command again to go on.</p>"
    seconds = sum(run[-1].seconds for run in facts.runs)
    figures = {
        "clips decided": f"{facts.clips:,}",
        "samples": f"{facts.samples:,}",
        "kept": f"{facts.samples / facts.clips:.1%}" if facts.clips else "-",
        "given up": f"{facts.num_given_up:,}",
        "at work": duration(seconds),
        "clips a second": f"{sum(run[-1].decided for run in facts.runs) / seconds:.3g}" if seconds else "-",
    }
    cells = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in figures.items())
    yield f'<div class="figures">{cells}</div>'


def _time(facts: Facts) -> Iterator[str]:
    yield "<h2>Time</h2>"
    yield image(plots.throughput(facts), "clips decided a minute, over time")
    yield image(plots.busy(facts), "busy share of each stage, over time")


def _stages(facts: Facts) -> Iterator[str]:
    rows = [
        (
            stage.name,
            f"{stage.answered:,}",
            f"{stage.hours:.3g}",
            f"{3600 * stage.hours / stage.answered:.3g}" if stage.answered else "",
            f"{stage.gpus:g}",
            f"{stage.hours * stage.gpus:.3g}",
        )
        for stage in facts.stages
    ]
    yield table(("stage", "answers", "worker hours", "seconds each", "GPUs", "GPU-hours of work"), rows)


def _cost(facts: Facts, price: float | None) -> Iterator[str]:
    """What workers held, busy or not: their GPUs are paid for while they are up."""
    priced = price is not None
    rows = []
    for pool in facts.pools:
        gpu_hours = pool.up_hours * pool.gpus
        busy = pool.busy_hours / pool.up_hours if pool.up_hours else 0.0
        cost = (f"{gpu_hours * price:,.2f}",) if price is not None else ()
        rows.append((pool.name, f"{pool.up_hours:.3g}", f"{min(busy, 1.0):.1%}", f"{gpu_hours:.3g}", *cost))
    whole = sum(pool.up_hours * pool.gpus for pool in facts.pools)
    rows.append(("all", "", "", f"{whole:.3g}", *((f"{whole * price:,.2f}",) if price is not None else ())))
    yield "<h2>Cost</h2>"
    yield table(("workers of", "hours up", "busy", "GPU-hours held", *(("cost",) if priced else ())), rows)
    note = f"at {price:g} for a GPU's hour" if priced else "give --price for money"
    yield f'<p class="quiet">GPUs that no worker held are not counted; {escape(note)}.</p>'


def _destinations(facts: Facts) -> Iterator[str]:
    yield "<h2>Where clips went</h2>"
    yield image(plots.destinations(facts), "clips by where their way ended")
    heads = ("outcome", "stage", "why", "clips", "least", "median", "greatest", "rule")
    yield table(heads, [_reason(reason) for reason in facts.reasons])
    yield image(plots.measured(facts.reasons), "what was measured of the clips that rules stopped")


def _reason(reason: Reason) -> tuple[str, ...]:
    found = [f"{value:.4g}" for value in np.quantile(reason.values, (0, 0.5, 1))] if len(reason.values) else [""] * 3
    return (reason.outcome, reason.stage, reason.why, f"{reason.clips:,}", *found, reason.rule)


def _given_up(facts: Facts) -> Iterator[str]:
    yield "<h2>Failed and quarantined</h2>"
    if not facts.given_up:
        yield "<p>None.</p>"
        return
    yield table(("video", "clip", "stage", "outcome", "error", "message"), [_lost(clip) for clip in facts.given_up])
    if facts.num_given_up > len(facts.given_up):
        more = f"{facts.num_given_up - len(facts.given_up):,} more"
        yield f"<p>{more}: <code>dreamreel shards ls DATASET --stopped</code></p>"
    for clip in facts.given_up:
        if clip.traceback:
            yield f"<details><summary>{escape(f'{clip.video}, {clip.stage}')}</summary>"
            yield f"<pre>{escape(clip.traceback)}</pre></details>"


def _lost(clip: GivenUp) -> tuple[str, ...]:
    return (clip.video, clip.clip, clip.stage, clip.outcome, clip.error, clip.message)


def _recipe(facts: Facts) -> Iterator[str]:
    recipe = yaml.safe_dump(dict(facts.info.recipe), sort_keys=False, allow_unicode=True)
    yield "<h2>Models</h2>"
    yield table(("stage", "fingerprint"), [(name, str(mark)) for name, mark in facts.info.models.items()])
    yield f"<h2>Recipe</h2><details><summary>{escape(str(facts.info.recipe.get('name', '')))}, every setting</summary>"
    yield f"<pre>{escape(recipe)}</pre></details>"


def _runs(facts: Facts) -> Iterator[str]:
    rows = [
        (
            _when(run[0].at - run[0].seconds),
            duration(run[-1].seconds),
            f"{run[-1].begun:,} of {run[-1].videos:,}",
            f"{run[-1].decided:,}",
            f"{run[-1].driver_cpu:,.0f}",
            run[-1].ended or "cut off, or under way",
        )
        for run in facts.runs
    ]
    yield "<h2>Runs</h2>"
    yield table(("began", "took", "videos begun", "clips decided", "driver's CPU seconds", "ended"), rows)


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Cells that are numbers stand at the right."""
    body = "".join(f"<tr>{''.join(_cell(str(cell)) for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{body}</table>"


def _cell(text: str) -> str:
    is_number = text.replace(",", "").replace(".", "").replace("%", "").replace("e-", "").replace("e+", "").isdigit()
    return f"<td{' class=n' if is_number else ''}>{escape(text)}</td>"


def image(svg: bytes | None, says: str) -> str:
    if svg is None:
        return f'<p class="quiet">Nothing to show yet: {escape(says)}.</p>'
    return f'<p><img alt="{escape(says)}" src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"></p>'
