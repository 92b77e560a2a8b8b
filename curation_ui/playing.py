"""What a browser can play, and a proxy for what it cannot: the same frames at the same times, made once."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from platformdirs import user_cache_path

from curation_ui.members import Place
from shards.storage import Storage

if TYPE_CHECKING:
    from curation_ui.probing import Format, Times

_REMEMBERED = 4096  # answers that are kept in memory

A = TypeVar("A")


class Player:
    """Looks into videos, and keeps proxies and thumbnails in a folder, by content. May be asked from threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self.cache = Storage.at(folder or user_cache_path("dreamreel") / "page")
        self._formats = _Memory["Format"]()
        self._times = _Memory["Times"]()
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def format(self, place: Place) -> "Format":
        """Raises `Unplayable`."""
        from curation_ui.probing import format_at  # loads the decoders, which the first page does without

        return self._formats.get(place.tag, lambda: format_at(place))

    def times(self, place: Place) -> "Times":
        """Of a video that brings no table of its frames. Raises `Unplayable`."""
        from curation_ui.probing import times_of, whole

        return self._times.get(place.tag, lambda: times_of(whole(place)))

    def playable(self, place: Place) -> Place:
        """The video itself where browsers play it, else its proxy. Raises `Unplayable`."""
        from curation_ui.probing import proxy_of

        return place if self.format(place).plays else self._kept(place, "mp4", proxy_of)

    def strip(self, place: Place) -> Place:
        """Thumbnails side by side, for a tar that brings none. Raises `Unplayable`."""
        from curation_ui.probing import strip_of

        return self._kept(place, "jpg", strip_of)

    def _kept(self, place: Place, suffix: str, make: Callable[[bytes], bytes]) -> Place:
        from curation_ui.probing import whole

        name = f"{hashlib.sha256(place.tag.encode()).hexdigest()}.{suffix}"
        with self._alone(name):
            if not self.cache.exists(name):
                self.cache.write(name, make(whole(place)))
        return Place(storage=self.cache, path=name, offset=0, size=self.cache.size(name), tag=f"{place.tag}-{suffix}")

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Two requests for one proxy make it once."""
        with self._lock:
            lock = self._busy.setdefault(name, threading.Lock())
        with lock:
            yield


class _Memory(OrderedDict[str, A]):
    """The last answers, by content."""

    def get(self, tag: str, ask: Callable[[], A]) -> A:  # type: ignore[override]
        found = super().get(tag)
        if found is None:
            found = self[tag] = ask()
            while len(self) > _REMEMBERED:
                self.popitem(last=False)
        return found
