"""Which samples of a dataset to take: by people's decisions, an SQL condition and class balance; an order."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards import bare, sidecar
from shards.rle import Size
from shards.sample import Sample, Track
from shards.verdicts import Decision, Redrawn

Decisions: TypeAlias = Mapping[str, Decision]  # by sample key

REVIEW = "review"
"""The `caption_by` of a caption that people gave."""


class BadExpression(ValueError):  # noqa: N818  the name says what is wrong
    """A condition that is not SQL over the known columns; the message names them."""


def select(
    index: pa.Table,
    where: str | None = None,
    *,
    decisions: Decisions | None = None,
    max_per_class: int | None = None,
    seed: int = 0,
) -> list[int]:
    """Row numbers of `index` (`Dataset.index`) to take, rising.

    `decisions` come first: what was rejected is gone, and `where` and the classes see the decided subjects
    and captions. `where` is one SQL condition over `columns(index)`; a sample for which it is null is not
    taken. `max_per_class` keeps at most so many samples of each subject, chosen by a hash of (seed, key): the
    choice does not depend on the order of the rows. An index of chosen columns needs those that are spoken of,
    and tracks, subject, caption, width and height where there are decisions. Raises `BadExpression`.
    """
    numbered = index.append_column("row", pa.array(np.arange(index.num_rows), pa.int64()))
    taken = overlay(numbered, decisions or {})
    if where is not None:
        taken = taken.take(_matching(taken.drop_columns("row"), where))
    if max_per_class is not None:
        taken = taken.take(_balanced(taken, max_per_class, seed))
    return [int(row) for row in taken["row"].to_pylist()]


def overlay(index: pa.Table, decisions: Decisions) -> pa.Table:
    """`index` without what people rejected or dropped, and with the subjects and captions they gave."""
    judged = [number for number, key in enumerate(index["key"].to_pylist()) if key in decisions]
    if not judged:
        return index
    stored = index.take(pa.array(judged, pa.int64())).to_pylist()
    rows = {n: _decided_row(row, decisions[row["key"]]) for n, row in zip(judged, stored, strict=True)}
    changed = {number: row for number, row in rows.items() if row is not None}
    place = {number: index.num_rows + k for k, number in enumerate(changed)}
    order = [place.get(n, n) for n in range(index.num_rows) if n not in rows or n in place]
    extra = pa.Table.from_pylist(list(changed.values()), schema=index.schema)
    return pa.concat_tables([index, extra]).take(pa.array(order, pa.int64()))


def _decided_row(row: dict[str, Any], decision: Decision) -> dict[str, Any] | None:
    every = _redrawn_rows(row, decision) if decision.redrawn else row["tracks"]
    tracks = [track for track in every if track["id"] not in decision.dropped_tracks]
    if decision.accepted is False or not tracks:
        return None
    noun = _noun(decision, [track["id"] for track in row["tracks"]]) or tracks[0]["noun"]
    tracks[0] = {**tracks[0], "noun": noun}
    changed = {"tracks": tracks, "subject": noun, "caption": _caption(decision) or row["caption"]}
    if "caption_by" in row and changed["caption"] != row["caption"]:
        changed["caption_by"] = REVIEW
    return {**row, **changed}


def _redrawn_rows(row: dict[str, Any], decision: Decision) -> list[dict[str, Any]]:
    """What the sidecar would say of the tracks, those drawn anew among them."""
    size = row["height"], row["width"]
    anew = {one.id: sidecar.track_row(_track(one, one.noun, size), size) for one in decision.redrawn}
    rows = {track["id"]: {**anew.get(track["id"], track), "noun": track["noun"]} for track in row["tracks"]}
    return [*rows.values(), *(track for id_, track in anew.items() if id_ not in rows)]


def _redrawn_tracks(sample: Sample, decision: Decision) -> tuple[Track, ...]:
    """The sample's tracks, those drawn anew among them: without scores and series, which were of the old masks."""
    anew = {one.id: one for one in decision.redrawn}
    there = [_track(anew[t.id], t.noun, sample.size) if t.id in anew else t for t in sample.tracks]
    more = [one for one in decision.redrawn if one.id not in {track.id for track in sample.tracks}]
    return (*there, *(_track(one, one.noun, sample.size) for one in more))


def _track(drawn: Redrawn, noun: str, size: Size) -> Track:
    return Track.of_masks(drawn.masks, id=drawn.id, noun=noun, size=size)


def _noun(decision: Decision, ids: Sequence[int]) -> str:
    """The given subject as the format has nouns, "" where none was given for the first track that is left.

    `ids` are those of all tracks, in order.
    """
    named = next((id_ for id_ in ids if id_ not in decision.dropped_before), None)
    first = next((id_ for id_ in ids if id_ not in decision.dropped_tracks), None)
    return (decision.subject or "").strip().lower() if named == first else ""


def _caption(decision: Decision) -> str:
    return (decision.caption or "").strip()


def decided(sample: Sample, decision: Decision | None) -> Sample | None:
    """`sample` as people decided it, or `None` where they rejected it or every track of it.

    Where the subject's track was dropped, the next track's noun becomes the subject, unless people renamed it
    since. What changed stands in the provenance under "before_review", as it was.
    """
    if decision is None:
        return sample
    every = _redrawn_tracks(sample, decision)
    tracks = tuple(track for track in every if track.id not in decision.dropped_tracks)
    if decision.accepted is False or not tracks:
        return None
    subject = _noun(decision, [track.id for track in sample.tracks]) or tracks[0].noun
    caption = _caption(decision) or sample.caption
    before = _before(sample, subject, caption, tracks)
    if not before:
        return sample
    provenance = {**sample.provenance, "before_review": before}
    if "caption" in before:
        provenance["caption_by"] = REVIEW
    first = replace(tracks[0], noun=subject)
    return replace(sample, subject=subject, caption=caption, tracks=(first, *tracks[1:]), provenance=provenance)


def _before(sample: Sample, subject: str, caption: str, tracks: Sequence[Track]) -> dict[str, Any]:
    kept = {track.id for track in tracks}
    dropped = [{"id": track.id, "noun": track.noun} for track in sample.tracks if track.id not in kept]
    before: dict[str, Any] = {"dropped_tracks": dropped} if dropped else {}
    stored = {track.id: track.masks for track in sample.tracks}
    redrawn = [track.id for track in tracks if stored.get(track.id) != track.masks]
    if redrawn:
        before["redrawn_tracks"] = redrawn
    if subject != sample.subject:
        before["subject"] = sample.subject
    if caption != sample.caption:
        before["caption"] = sample.caption
        before["caption_by"] = sample.provenance.get("caption_by")
    return before


def columns(index: pa.Table) -> pa.Table:
    """What a condition can speak of: the index's plain columns, `num_tracks`, `nouns` and all scores.

    A score stands under its own name; one whose name is a column's already under "scores.NAME". Names are
    compared without regard to case, as SQL does. Of an index of chosen columns, what these give.
    """
    plain = [f.name for f in index.schema if not pa.types.is_nested(f.type) and not f.name.endswith("_offset")]
    table = index.select(plain)
    if "tracks" in index.column_names:
        counts = pc.list_value_length(index["tracks"])
        nouns = pc.struct_field(pc.list_flatten(index["tracks"]), "noun").combine_chunks()
        ends = bare.array(np.concatenate(([0], np.cumsum(bare.numbers(counts)))).astype(np.int32))
        table = table.append_column("num_tracks", counts)
        table = table.append_column("nouns", pa.ListArray.from_arrays(ends, nouns))
    return _with_scores(table, index) if "scores" in index.column_names else table


def _with_scores(table: pa.Table, index: pa.Table) -> pa.Table:
    taken = {"row", *(name.lower() for name in table.column_names)}
    for name, values in _scores(index["scores"]).items():
        column = f"scores.{name}" if name.lower() in taken else name
        taken.add(column.lower())
        table = table.append_column(column, bare.array(values))
    return table


def _scores(column: pa.ChunkedArray) -> dict[str, NDArray[np.float64]]:
    """One [rows] for each score, NaN where a sample lacks it."""
    maps = column.combine_chunks()
    offsets = bare.numbers(maps.offsets)
    rows = np.repeat(np.arange(len(maps)), np.diff(offsets))
    named = maps.keys[offsets[0] : offsets[-1]].dictionary_encode()
    values = bare.numbers(maps.items[offsets[0] : offsets[-1]])
    names = named.dictionary.to_pylist()
    codes = bare.numbers(named.indices)
    # Sorted by name once, in small numbers that numpy sorts by their bytes, instead of looked through for every name.
    order = np.argsort(codes.astype(np.uint16) if len(names) <= _FEW else codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    places = {
        name: order[end - count : end] for name, end, count in zip(names, ends, np.diff(ends, prepend=0), strict=True)
    }
    scores = {}
    for name in sorted(places, key=str):
        scores[str(name)] = np.full(len(maps), np.nan)
        scores[str(name)][rows[places[name]]] = values[places[name]]
    return scores


_FEW = 1 << 16


def _matching(table: pa.Table, where: str) -> pa.Array:
    """Numbers of the rows of `table` that meet `where`. The database sees this table and nothing else."""
    import duckdb

    shut: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "lock_configuration": "true",
        "threads": "2",
    }
    seen = columns(table)
    numbers = pa.array(np.arange(table.num_rows), pa.int64())
    with duckdb.connect(":memory:", config=shut) as database:
        try:
            relation = database.from_arrow(seen.append_column("row", numbers))
            found = relation.filter(where).project('"row"').fetchnumpy()["row"]
        except duckdb.Error as error:
            raise BadExpression(_explain(where, str(error), seen.column_names)) from None
    return pa.array(np.sort(np.asarray(found, np.int64)))


def _explain(where: str, error: str, names: Sequence[str]) -> str:
    known = ", ".join(f'"{name}"' if not name.isidentifier() else name for name in names)
    return f"condition {where!r}: {error.splitlines()[0]}; the columns (a name with a dot in double quotes) are {known}"


def _balanced(table: pa.Table, max_per_class: int, seed: int) -> pa.Array:
    """Numbers of the rows that stay when each subject keeps at most `max_per_class`, rising."""
    if max_per_class < 1:
        raise ValueError(f"at most {max_per_class} samples a class leaves none; give 1 or more")
    classes: dict[str, list[tuple[bytes, int]]] = defaultdict(list)
    for number, (subject, key) in enumerate(zip(table["subject"].to_pylist(), table["key"].to_pylist(), strict=True)):
        classes[subject].append((rank(seed, key), number))
    kept = (number for members in classes.values() for _, number in sorted(members)[:max_per_class])
    return pa.array(sorted(kept), pa.int64())


def shuffled(keys: Iterable[str], seed: int) -> list[int]:
    """Numbers of `keys` in an order that only `seed` and the keys decide."""
    return [number for _, number in sorted((rank(seed, key), number) for number, key in enumerate(keys))]


def rank(seed: int, key: str) -> bytes:
    """Where `key` stands in the order of `seed`: 16 bytes that look random."""
    return hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:16]
