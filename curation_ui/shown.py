"""One dataset as the page shows it: its holdings, the tables over them, the search, and what people decided."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation_ui import rows
from curation_ui.foreign import ForeignTars
from curation_ui.holdings import Holdings, OwnShards
from curation_ui.log import Log, Seen
from curation_ui.members import Place
from curation_ui.playing import Player
from curation_ui.search import Search, matches
from curation_ui.stopped import StoppedClips
from curation_ui.table import Decided, Found, Table
from curation_ui.thresholds import Judged, asked_by, rules_of
from curation_ui.wire import Card, ColumnInfo, FacetsRequest, Filter, Histogram, Kind, Query, State, Word, Words
from pipeline.stages.judge import Judge, Screener
from shards import Dataset, Storage, select

_CARD = ("key", "subject", "caption", "state", "flagged", "edited")
_ASKED_AGAIN = (Screener.name, Judge.name)
"""Stages whose word another threshold changes; where a clip stopped elsewhere, no rule brings it back."""

_MEASURES = ("duration", "fps", "num_frames", "width", "height", "num_tracks")


class Shown:
    """One dataset under a short name."""

    def __init__(self, name: str, holdings: Holdings, player: Player, *, blind: bool) -> None:
        self.name = name
        self.holdings = holdings
        self.rules = rules_of(holdings.recipe)
        self.log = Log(holdings.storage, holdings.content, blind=blind) if holdings.why_not is None else None
        self._grid = holdings.table
        self._stopped_clips = StoppedClips(holdings.storage, holdings.recipe, player.cache)
        self.samples = Table(self._grid)
        self._search = Search(holdings.texts())
        self._viewers: set[str] = set()
        self._deciding = threading.Lock()

    @cached_property
    def stopped(self) -> Table:
        """Clips that are no samples; read from the ledger when they are first asked for."""
        return Table(self._stopped_rows)

    def warm(self) -> None:
        """Get ready what takes a moment."""
        self._search.start()
        _ = self.stopped

    def table(self, kind: Kind) -> Table:
        return self.samples if kind == "samples" else self.stopped

    def columns(self, kind: Kind) -> list[ColumnInfo]:
        return rows.infos(self._grid if kind == "samples" else self._stopped_rows, kind, asked_by(self.rules))

    def found(self, filter_: Filter, who: str | None) -> Found:
        """Rows that the filter's text finds, in what is stored and in what people wrote over it."""
        if filter_.kind == "stopped":
            return self._stopped_search.rows(filter_.text)
        got = self._search.rows(filter_.text)
        if got is None or self.log is None:
            return got
        seen = self.log.seen(self.log.judged(), who)
        texts = {key: (one.decision.caption or "", one.decision.subject or "") for key, one in seen.items()}
        more = {
            self.holdings.row_of(key) for key, parts in texts.items() if any(parts) and matches(filter_.text, *parts)
        }
        return sorted({*got, *more}) if more else got

    def page(self, query: Query, who: str | None) -> tuple[int, list[Card]]:
        """How many clips a query has, and the cards of its page."""
        viewer, table, found = self.viewer(who), self.table(query.filter.kind), self.found(query.filter, who)
        numbers = table.rows(query, viewer, found)
        total = table.count(query.filter, viewer, found)
        return total, self.cards(query.filter.kind, numbers, who, query.sort)

    def keys(self, query: Query, who: str | None) -> tuple[int, list[str]]:
        viewer, table, found = self.viewer(who), self.table(query.filter.kind), self.found(query.filter, who)
        numbers = table.rows(query, viewer, found)
        keys = [str(record["key"]) for record in table.records(numbers, ["key"], viewer)]
        return table.count(query.filter, viewer, found), keys

    def facets(self, request: FacetsRequest, who: str | None) -> tuple[int, list[Histogram | Words]]:
        viewer, table, found = self.viewer(who), self.table(request.filter.kind), self.found(request.filter, who)
        counted = [table.facet(name, request, viewer, found) for name in request.columns]
        return table.count(request.filter, viewer, found), counted

    def cards(self, kind: Kind, numbers: Sequence[int], who: str | None, sort: str | None = None) -> list[Card]:
        """The cards of some rows, in their order."""
        table, viewer = self.table(kind), self.viewer(who)
        extra = ("stage", "why", "measured") if kind == "stopped" else ()
        known = [name for name in (*_CARD, *_MEASURES, *extra, *([sort] if sort else [])) if name in table.kinds]
        records = table.records(numbers, list(dict.fromkeys(known)), viewer)
        return [self._card(kind, row, record, sort) for row, record in zip(numbers, records, strict=True)]

    def suggestions(self, text: str, limit: int, who: str | None) -> list[Word]:
        """Subject words that begin with `text`, by their number, then words that hold it; of further tracks last."""
        typed, viewer = text.strip().lower(), self.viewer(who)
        own = {word.word: word.count for word in self.samples.words("subject", viewer) if word.word}
        every = [*own, *(noun for noun in self._nouns if noun not in own)]
        begin = [word for word in every if word.startswith(typed)]
        hold = [word for word in every if typed in word and not word.startswith(typed)]
        return [Word(word=word, count=own.get(word, 0)) for word in [*begin, *hold][:limit]]

    @cached_property
    def _nouns(self) -> list[str]:
        """Of all tracks."""
        if not isinstance(self.holdings, OwnShards):
            return []
        tracks = pc.list_flatten(self.holdings.index["tracks"])
        return sorted(word for word in pc.unique(pc.struct_field(tracks, "noun")).to_pylist() if word)

    def stored_search(self, text: str) -> Found:
        """Rows that a text finds in what is stored, whatever people wrote over it."""
        return self._search.rows(text)

    def keys_of(self, numbers: Sequence[int]) -> list[str]:
        """Keys of some rows of samples."""
        keys: list[str] = self._grid["key"].take(pa.array(numbers, pa.int64())).to_pylist()
        return keys

    def viewer(self, who: str | None) -> str:
        """Who it is whose view of the decisions this person has; the tables have it up to date afterwards."""
        if self.log is None:
            return ""
        viewer = self.log.viewer(who)
        with self._deciding:
            fresh = self.log.look()
            if viewer not in self._viewers:
                self._viewers.add(viewer)
                self._decide(self.log.judged(), [viewer])
            elif fresh:
                self._decide(fresh, self._viewers)
        return viewer

    def decided(self, keys: Iterable[str]) -> None:
        """The log has news about these clips: the tables follow."""
        with self._deciding:
            self._decide(keys, self._viewers)

    def states(self, seen: Mapping[str, Seen]) -> dict[str, State]:
        """open, accepted or rejected, by key."""
        touched = {key: one for key, one in seen.items() if one.touched}
        blank: dict[str, State] = dict.fromkeys(seen, "open")
        return blank | {key: one.state for key, one in zip(touched, self._decided(touched), strict=True)}

    def as_decided(self, key: str, seen: Seen) -> tuple[str, str]:
        """Subject and caption of a clip as people decided them."""
        row = self.holdings.row_of(key)
        stored = self._grid.slice(row, 1).select(["subject", "caption"]).to_pylist()[0]
        (decided,) = self._decided({key: seen})
        return decided.subject or stored["subject"], decided.caption or stored["caption"]

    def url(self, row: int, suffix: str, tag: str) -> str:
        """Where a clip's bytes are got; it changes with the content, so a browser may keep them for ever."""
        key = self._grid["key"][row].as_py()
        return f"/media/{self.name}/{key}.{suffix}?v={tag[:16]}"

    def stopped_record(self, key: str) -> dict[str, Any]:
        """All that is known of a clip that is no sample. Raises `KeyError`."""
        found: dict[str, Any] = self._stopped_rows.slice(self._stopped_numbers[key], 1).to_pylist()[0]
        return found

    @cached_property
    def judged(self) -> Judged:
        """Every clip against any thresholds; made when it is first asked for."""
        videos = [*self._grid["video"].to_pylist(), *self._stopped_rows["video"].to_pylist()]
        sources = [str(video).partition("/")[0] for video in videos]
        ends = zip(self._stopped_rows["stage"].to_pylist(), self._stopped_rows["why"].to_pylist(), strict=True)
        final = ["" if stage in _ASKED_AGAIN else f"{stage}: {why}" for stage, why in ends]
        return Judged(self.samples, self.stopped, sources, final)

    def all_keys(self) -> list[str]:
        """Of samples, then of the clips that stopped."""
        return [*self._grid["key"].to_pylist(), *self._stopped_rows["key"].to_pylist()]

    def stopped_story(self, key: str) -> dict[str, Any]:
        """What the stages added to a clip before it stopped. Raises `KeyError`."""
        row = self.stopped_record(key)
        return self._stopped_clips.record(row["shard"], row["video"], key)

    def stopped_video(self, key: str) -> Place:
        """Raises `KeyError`, and `Unplayable` where there is none or the source is gone."""
        return self._stopped_clips.place(self.stopped_story(key))

    @cached_property
    def _stopped_numbers(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self._stopped_rows["key"].to_pylist())}

    @cached_property
    def _stopped_rows(self) -> pa.Table:
        own = isinstance(self.holdings, OwnShards)
        return rows.of_stopped(self.holdings.storage) if own else self._grid.slice(0, 0)

    @cached_property
    def _stopped_search(self) -> Search:
        names = [name for name in ("video", "key", "why", "stage") if name in self._stopped_rows.column_names]
        columns = [self._stopped_rows[name].to_pylist() for name in names]
        return Search(list(zip(*columns, strict=True)))

    def _card(self, kind: Kind, row: int, record: Mapping[str, Any], sort: str | None) -> Card:
        place = self.holdings.strip(row) if kind == "samples" else None
        strip = (
            self.url(row, "jpg", place.tag if place else "made") if kind == "samples" else self._stopped_strip(record)
        )
        measured = record.get("measured")
        return Card.model_validate(
            {
                **{name: record.get(name) for name in ("key", *_MEASURES)},
                "subject": record.get("subject") or "",
                "caption": record.get("caption") or "",
                "state": record["state"],
                "flagged": bool(record["flagged"]),
                "edited": bool(record["edited"]),
                "value": record.get(sort) if sort else None,
                "stage": record.get("stage"),
                "why": record.get("why"),
                "measured": None if measured is None else f"{measured:g}",
                "strip": strip,
            }
        )

    def _stopped_strip(self, record: Mapping[str, Any]) -> str | None:
        """None for what stopped before it was a clip."""
        pictured = record["stage"] not in ("source", "cutter", "encoder")
        return f"/media/{self.name}/stopped/{record['key']}.jpg" if pictured else None

    def _decide(self, keys: Iterable[str], viewers: Iterable[str]) -> None:
        if self.log is None:
            return
        keys = [key for key in keys if key in self.holdings.content]
        for viewer in viewers if keys else ():
            self.samples.decide(viewer, self._decided(self.log.seen(keys, viewer)))

    def _decided(self, seen: Mapping[str, Seen]) -> list[Decided]:
        """What the table shows of clips, by the very function that lays decisions over an index."""
        assert isinstance(self.holdings, OwnShards)
        numbers = {key: self.holdings.row_of(key) for key in seen}
        index = self.holdings.index.take(pa.array(numbers.values(), pa.int64()))
        undecided = {key: replace(one.decision, accepted=None) for key, one in seen.items()}
        laid = select.overlay(index, undecided).select(["key", "subject", "caption"]).to_pylist()
        texts = {row["key"]: row for row in laid}
        return [_decided(numbers[key], one, texts.get(key)) for key, one in seen.items()]


def open_shown(url: str, index: Dataset | None, name: str, player: Player, *, blind: bool) -> Shown:
    """A dataset of ours as `index.open_index` opened it, or else the foreign tars of a folder. Raises `ValueError`."""
    holdings: Holdings = ForeignTars(Storage.at(url)) if index is None else OwnShards(index)
    return Shown(name, holdings, player, blind=blind)


def _decided(row: int, seen: Seen, texts: Mapping[str, str] | None) -> Decided:
    """`texts` is None where every track was dropped: that rejects the clip."""
    accepted = False if texts is None else seen.decision.accepted
    return Decided(
        row=row,
        state="open" if accepted is None else "accepted" if accepted else "rejected",
        flagged="flagged" if seen.flagged else "",
        edited="edited" if seen.edited else "",
        subject=texts["subject"] if texts and seen.edited else None,
        caption=texts["caption"] if texts and seen.edited else None,
    )
