"""What one server has on its desk: the datasets under their short names, and whatever works on them."""

import getpass
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from curation_ui.index import open_index
from curation_ui.playing import Player
from curation_ui.segmenting import Segmenting
from curation_ui.shown import Shown, open_shown
from curation_ui.study import Study
from curation_ui.versions import Comparison
from curation_ui.wire import DatasetInfo, Home
from shards import SCHEMA, Dataset

WARM_AFTER = 3.0  # seconds, in which the first page is served without anything beside it


class Desk:
    """The datasets of one server. `reload` opens one anew; whoever reads it meanwhile goes on with the old.

    `read` gives the index of a dataset when it is first opened, by its URL.
    """

    def __init__(
        self,
        urls: Sequence[str],
        player: Player,
        *,
        blind: bool = False,
        train_recipe: str = "paper",
        study: Study | None = None,
        read: Callable[[str], Dataset | None] = open_index,
    ) -> None:
        self.player, self.blind, self.train_recipe = player, blind, train_recipe
        self.segmenting, self.study = Segmenting(), study
        self._warming = threading.Timer(WARM_AFTER, self._warm)
        self._warming.daemon = True
        self._urls: dict[str, str] = {}
        self._shown: dict[str, Shown] = {}
        self._opening = threading.Lock()
        self._comparisons: dict[tuple[str, str], Comparison] = {}
        for url in urls:
            name = _free(_short(url), self._urls)
            self._urls[name] = url
            self._shown[name] = open_shown(url, read(url), name, player, blind=blind)

    def __getitem__(self, name: str) -> Shown:
        """Raises `KeyError`."""
        return self._shown[name]

    def warm(self) -> None:
        """Get ready, aside, what is asked for a moment after the first page: the clips that stopped, the search."""
        self._warming.start()

    def close(self) -> None:
        """End what goes on aside."""
        self._warming.cancel()
        if self._warming.is_alive():
            self._warming.join(1)  # second; a thread at the very end has DuckDB tell of leaks
        self.segmenting.close()

    def _warm(self) -> None:
        from curation_ui import probing  # noqa: F401  the decoders, for the first clip that is opened

        for shown in self._shown.values():
            shown.warm()

    @property
    def shown(self) -> Mapping[str, Shown]:
        return self._shown

    def reload(self, name: str) -> Shown:
        """Open a dataset again, for what a build added."""
        with self._opening:
            url = self._urls[name]
            self._shown[name] = open_shown(url, open_index(url), name, self.player, blind=self.blind)
            return self._shown[name]

    def comparison(self, a: str, b: str) -> Comparison:
        """Begun when it is first asked for, and anew after a reload. Raises `KeyError`."""
        pair = self._shown[a], self._shown[b]
        with self._opening:
            there = self._comparisons.get((a, b))
            if there is None or (there.a, there.b) != pair:
                there = self._comparisons[a, b] = Comparison(*pair)
            return there

    def info(self, name: str) -> DatasetInfo:
        shown = self._shown[name]
        recipe = shown.holdings.recipe.get("name")
        return DatasetInfo(
            dataset=name,
            title=shown.holdings.title,
            url=shown.holdings.storage.url,
            samples=len(shown.holdings),
            stopped=shown.stopped.num_rows if "stopped" in vars(shown) else None,
            recipe=recipe if isinstance(recipe, str) else None,
            schema_number=SCHEMA,
            writable=shown.log is not None,
            why_not=shown.holdings.why_not,
        )

    def home(self) -> Home:
        infos = [self.info(name) for name in self._shown]
        return Home(datasets=infos, blind=self.blind, study=self.study is not None, version=version("dreamreel"))


def suggested_name() -> str:
    """A reviewer's name to begin with: the user's."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "reviewer"


def _short(url: str) -> str:
    """A name for addresses: the last part of a path, in letters that need no quoting."""
    last = url.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-") or "dataset"


def _free(name: str, taken: Mapping[str, str]) -> str:
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(one for one in names if one not in taken and one not in ("session", "home", "diff", "study"))
