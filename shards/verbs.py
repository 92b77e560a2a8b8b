"""The verbs over shards: `dreamreel shards ls|show|stats|verify|repack|diff`."""

import argparse
import contextlib
import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shards import ledger
from shards.dataset import Dataset
from shards.repack import Settings, repack
from shards.storage import Storage

# What draws, plots or queries is imported by the verb that does it, so that the others start at once.


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `shards` and its verbs; each sets `run`, a function from the parsed arguments to the exit code."""
    parser = verbs.add_parser("shards", help="look into a dataset, prove it, compare it, make a new version of it")
    inner = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    listing = _add(inner, "ls", _ls, "list the shards: samples, bytes, digest")
    listing.add_argument("--stopped", action="store_true", help="list the clips that are no samples, and why, instead")
    _add_show(inner)
    _add_stats(inner)
    _add_verify(inner)
    _add_repack(inner)
    diff = _add(inner, "diff", _diff, "compare two datasets clip by clip", names=("A", "B"))
    diff.description = (
        "Clips only in A or only in B, and of the clips in both: changed captions, subjects and video bytes, and "
        "the IoU of the masks of every track, mean over frames, where it is below 1. Compares what the shards "
        "hold, without verdicts. The exit code is 0 whatever is found."
    )


def _add(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    names: Sequence[str] = ("DATASET",),
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    for metavar in names:
        parser.add_argument(metavar.lower(), metavar=metavar, help="folder or fsspec URL")
    parser.add_argument("--json", action="store_true", help="one JSON value on stdout, for machines")
    parser.set_defaults(run=run)
    return parser


def _add_show(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _add(verbs, "show", _show, "draw a sample with its masks and boxes, and print its record")
    parser.add_argument("sample", nargs="?", metavar="KEY|N", help="key, its beginning, or number from 0")
    parser.add_argument("--out", type=Path, default=Path(), help="where KEY.png and KEY.mp4 go (default: here)")
    parser.add_argument("--frames", type=parse_count, help="how many to draw of a sample (default 12; 6 without KEY)")
    parser.add_argument("--samples", type=parse_count, default=8, help="without KEY: how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="without KEY: which ones (default %(default)s)")


def _add_stats(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _add(verbs, "stats", _stats, "count what a dataset holds, as people decided it")
    parser.add_argument("--out", type=Path, help="folder for plots: classes, area, durations, motion, rejections")


def _add_verify(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _add(verbs, "verify", _verify, "prove every rule of the format; exit code 1 names what is broken")
    parser.add_argument("--quick", action="store_true", help="do not decode videos; all else is checked")
    parser.add_argument(
        "--workers",
        type=parse_count,
        default=os.cpu_count() or 1,
        help="samples checked at once (default: the processors)",
    )


def _add_repack(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _add(verbs, "repack", _repack, "write a new version", names=("DATASET", "OUT"))
    parser.description = (
        "Write chosen samples to OUT as a new dataset, with what people decided written in: rejected samples and "
        "dropped tracks gone, subjects and captions replaced. The same command gives the same bytes, and goes on "
        "where it was interrupted. Within a shard samples are always sorted by key; --shuffle mixes which shard "
        "each goes to, and a reader's own shuffle does the rest. A wrong column in --where lists all columns."
    )
    parser.add_argument("--where", metavar="SQL", help="""e.g. '"motion.shift" > 0.05 and num_frames >= 16'""")
    parser.add_argument("--max-per-class", type=parse_count, metavar="N", help="at most N samples of a subject")
    parser.add_argument("--seed", type=int, default=0, help="which ones --max-per-class keeps (default %(default)s)")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="mix all samples over the shards")
    size = Settings().shard_bytes
    parser.add_argument(
        "--shard-bytes", type=parse_bytes, default=size, metavar="SIZE", help=f"default {size // 10**6}MB"
    )
    parser.add_argument("--name", help="of the new dataset (default: as it is)")
    parser.add_argument("--ignore-verdicts", action="store_true", help="take the samples as the shards have them")


def parse_bytes(text: str) -> int:
    """ "256MB", "1.5GiB" or a plain number, in bytes."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]?)(i?)B?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 256MB, 1GiB or a number of bytes")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(unit.upper() or " "))


def parse_count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write 1 or more")
    return int(text)


def _ls(args: argparse.Namespace) -> int:
    dataset = Dataset.open(args.dataset)
    if args.stopped:
        return _ls_stopped(dataset, args.json)
    info = dataset.info
    if args.json:
        shards = [
            {"shard": s.stem, "samples": s.num_samples, "bytes": s.bytes, "sha256": s.sha256} for s in dataset.shards
        ]
        said = {"name": info.name, "url": dataset.storage.url, "recipe": recipe_name(info.recipe)}
        return _print_json({**said, "parent": info.parent, "samples": len(dataset), "shards": shards})
    rows = [(s.stem, f"{s.num_samples:,}", f"{s.bytes:,}", s.sha256[:12]) for s in dataset.shards]
    total = ("total", f"{len(dataset):,}", f"{sum(s.bytes for s in dataset.shards):,}", "")
    print(aligned([("shard", "samples", "bytes", "sha256"), *rows, total], right=(1, 2)))
    parent = f"{info.parent.get('name')} at {info.parent.get('url')}" if info.parent else "none"
    print(f"\n{info.name}   recipe {recipe_name(info.recipe) or 'none'}   parent {parent}")
    return 0


def _ls_stopped(dataset: Dataset, as_json: bool) -> int:
    """How far each clip that is no sample came, and why it stopped there."""
    endings = sorted(ledger.endings(dataset.storage).values(), key=lambda end: (end.video, end.clip))
    stopped = [end for end in endings if end.outcome != "kept"]
    if as_json:
        return _print_json([end._asdict() for end in stopped])
    if not stopped:
        print("no clip stopped: the ledger has none that is no sample")
        return 0
    rows = [(end.video, end.clip, end.outcome, end.stage, end.why or "", end.value or "") for end in stopped]
    print(aligned([("video", "clip", "outcome", "stage", "why", "value"), *rows]))
    return 0


def recipe_name(recipe: Any) -> str | None:
    """What the recipe calls itself."""
    return recipe.get("name") if isinstance(recipe, dict) else None


def _show(args: argparse.Namespace) -> int:
    from shards import show

    dataset = Dataset.open(args.dataset)
    if not len(dataset):
        raise ValueError(f"{args.dataset} has no samples to show; build into it first")
    if args.sample is None:
        return _show_several(dataset, args)
    sample = dataset[find(dataset, args.sample)]
    out = Storage.at(args.out)
    out.write(f"{sample.key}.png", show.png(show.contact_sheet(sample, **_frames(args))))
    out.write(f"{sample.key}.mp4", show.overlay_video(sample))
    files = [str(args.out / f"{sample.key}.{kind}") for kind in ("png", "mp4")]
    decision = dataset.decisions().get(sample.key)
    if args.json:
        return _print_json(
            {"record": show.record(sample), "decision": decision and show.decision(decision), "files": files}
        )
    print(show.describe(sample))
    if decision is not None:
        print("decided  " + ", ".join(f"{name} {value}" for name, value in show.decision(decision).items()))
    print("\nwrote " + ", ".join(files))
    return 0


def _show_several(dataset: Dataset, args: argparse.Namespace) -> int:
    from shards import show

    count = min(args.samples, len(dataset))
    rows = sorted(random.Random(args.seed).sample(range(len(dataset)), count))
    file = f"{dataset.info.name}-samples.png"
    Storage.at(args.out).write(file, show.png(show.overview(dataset.rows(rows), **_frames(args))))
    keys = [dataset.key_of(row) for row in rows]
    if args.json:
        return _print_json({"keys": keys, "files": [str(args.out / file)]})
    columns = dataset.index.select(["subject", "caption"]).take(rows).to_pylist()
    print(
        aligned([(str(row), key, c["subject"], c["caption"]) for row, key, c in zip(rows, keys, columns, strict=True)])
    )
    print(f"\nwrote {args.out / file}")
    return 0


def _frames(args: argparse.Namespace) -> dict[str, int]:
    return {} if args.frames is None else {"num_frames": args.frames}


def find(dataset: Dataset, text: str) -> int:
    """The row that `text` means: a key, a number from 0, or the beginning of one key."""
    keys = [dataset.key_of(row) for row in range(len(dataset))]
    if text in keys:
        return keys.index(text)
    if text.isdecimal() and int(text) < len(keys):
        return int(text)
    rows = [row for row, key in enumerate(keys) if key.startswith(text.lower())]
    if len(rows) == 1:
        return rows[0]
    found = f"{len(rows)} keys begin" if rows else "no key begins"
    raise ValueError(f"{found} with {text!r}, and there are samples 0 to {len(keys) - 1}; give one of them")


def _stats(args: argparse.Namespace) -> int:
    from shards import select, stats

    dataset = Dataset.open(args.dataset)
    decisions = dataset.decisions()
    rejections = stats.rejected_clips(dataset.storage)
    counted = stats.measure(dataset.info.name, dataset.index, decisions, rejections)
    files = []
    if args.out is not None:
        from shards import plots

        for name, data in plots.draw(select.overlay(dataset.index, decisions), rejections).items():
            Storage.at(args.out).write(name, data)
            files.append(str(args.out / name))
    if args.json:
        return _print_json({**counted.as_json(), "files": files})
    headings, values = zip(*stats.table_row(counted), strict=True)
    print(aligned([headings, values]) + "\n")
    print(aligned(stats.more(counted)))
    if files:
        print("\nwrote " + ", ".join(files))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from shards.verify import verify

    storage = Storage.at(args.dataset)
    with _progress("verify") as advance:
        report = verify(storage, quick=args.quick, workers=args.workers, on_sample=advance)
    if args.json:
        _print_json(report.as_json())
    else:
        for violation in report.violations:
            print(violation)
        frames = "videos not decoded" if args.quick else "every video decoded"
        print(
            f"checked {report.shards:,} shards, {report.samples:,} samples, {report.frames:,} frames, "
            f"{report.bytes:,} bytes, {frames}: {len(report.violations):,} violations"
        )
    return 1 if report.violations else 0


def _repack(args: argparse.Namespace) -> int:
    dataset = Dataset.open(args.dataset)
    settings = Settings(
        name=args.name,
        where=args.where,
        max_per_class=args.max_per_class,
        seed=args.seed,
        shuffle=args.shuffle,
        shard_bytes=args.shard_bytes,
        ignore_verdicts=args.ignore_verdicts,
    )
    with _progress("repack") as on_sample:
        out = Storage.at(args.out)
        written = repack(dataset, out, settings, code=version("dreamreel"), on_sample=on_sample)
    result = Dataset.open(args.out)
    said = {"url": result.storage.url, "samples": len(result), "of": len(dataset), "shards": len(result.shards)}
    there = written.count(None)
    if args.json:
        return _print_json({**said, "already_there": there})
    again = f", {there} of them there already" if there else ""
    print(f"{said['samples']:,} of {said['of']:,} samples in {said['shards']:,} shards{again}: {said['url']}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    from shards.diff import diff, lines

    with _progress("diff") as on_sample:
        found = diff(Dataset.open(args.a), Dataset.open(args.b), on_sample)
    if args.json:
        return _print_json(found.as_json())
    print("\n".join(lines(found)))
    return 0


def _print_json(value: Any) -> int:
    print(json.dumps(value, ensure_ascii=False, indent=1))
    return 0


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Lines of columns two spaces apart; the columns in `right` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """A function to call after every sample with the number of all; on a terminal it moves a bar."""
    if not sys.stderr.isatty():
        yield lambda total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda total: bar.update(task, total=total, advance=1)
