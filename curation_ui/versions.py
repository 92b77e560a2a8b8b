"""Two datasets side by side: compared once, in the background, by the same code as `dreamreel shards diff`."""

import threading
from collections.abc import Iterable, Sequence
from itertools import chain

from curation_ui.shown import Shown
from curation_ui.tool_wire import ClipChange, DiffAnswer, DiffRequest, TrackChange
from shards import Dataset
from shards.diff import Change, Diff, diff


class Comparison:
    """One comparison, from when it was first asked for."""

    def __init__(self, a: Shown, b: Shown) -> None:
        self.a, self.b = a, b
        self.compared = self.to_compare = 0
        self._found: Diff | None = None
        self._failed: Exception | None = None
        threading.Thread(target=self._compare, daemon=True).start()

    def answer(self, request: DiffRequest) -> DiffAnswer:
        """A page of the differences, or how far it has come. Raises what went wrong with the datasets."""
        if self._failed is not None:
            raise self._failed
        if self._found is None:
            return DiffAnswer(
                ready=False,
                compared=self.compared,
                to_compare=self.to_compare,
                same=0,
                counts={},
                total=0,
                changes=[],
            )
        lists = _lists(self._found)
        chosen = lists[request.only]
        page = chosen[request.offset : request.offset + request.limit]
        return DiffAnswer(
            ready=True,
            compared=self.to_compare,
            to_compare=self.to_compare,
            same=self._found.same,
            counts={only: len(keys) for only, keys in lists.items()},
            total=len(chosen),
            changes=self._changes(self._found, page),
        )

    def _compare(self) -> None:
        try:
            one, other = (Dataset.open(shown.holdings.storage.url) for shown in (self.a, self.b))
            self._found = diff(one, other, self._count)
        except (ValueError, OSError) as error:
            self._failed = error

    def _count(self, of: int) -> None:
        self.to_compare = of
        self.compared += 1

    def _changes(self, found: Diff, keys: Sequence[str]) -> list[ClipChange]:
        changed = {change.key: change for change in found.changed}
        in_a, in_b = set(found.only_in_a), set(found.only_in_b)
        return [
            self._change(key, changed.get(key), "a" if key in in_a else "b" if key in in_b else "both") for key in keys
        ]

    def _change(self, key: str, change: Change | None, side: str) -> ClipChange:
        return ClipChange.model_validate(
            {
                "key": key,
                "side": side,
                "caption": change.caption if change else None,
                "subject": change.subject if change else None,
                "video": bool(change and change.video),
                "tracks": list(_tracks(change)) if change else [],
                "other": list(change.other) if change else [],
                "strip_a": _strip(self.a, key) if side != "b" else None,
                "strip_b": _strip(self.b, key) if side != "a" else None,
            }
        )


def _lists(found: Diff) -> dict[str, list[str]]:
    """Keys by what `DiffRequest.only` asks for."""

    def those(changes: Iterable[Change]) -> list[str]:
        return [change.key for change in changes]

    lists = {
        "only_in_a": list(found.only_in_a),
        "only_in_b": list(found.only_in_b),
        "changed": those(found.changed),
        "subject": those(change for change in found.changed if change.subject is not None),
        "caption": those(change for change in found.changed if change.caption is not None),
        "masks": those(c for c in found.changed if c.ious or c.only_in_a or c.only_in_b or "masks" in c.other),
        "video": those(change for change in found.changed if change.video),
    }
    return {"all": list(chain(lists["only_in_a"], lists["only_in_b"], lists["changed"])), **lists}


def _tracks(change: Change) -> Iterable[TrackChange]:
    for track, iou in change.ious.items():
        yield TrackChange(id=track, iou=iou, side="both")
    for track in change.only_in_a:
        yield TrackChange(id=track, iou=None, side="a")
    for track in change.only_in_b:
        yield TrackChange(id=track, iou=None, side="b")


def _strip(shown: Shown, key: str) -> str | None:
    """None for a clip that came since the page opened the dataset."""
    try:
        row = shown.holdings.row_of(key)
    except KeyError:
        return None
    place = shown.holdings.strip(row)
    return shown.url(row, "jpg", place.tag) if place else None
