"""What the page shows of a dataset: rows, places of bytes and descriptions; and a dataset of ours as such."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pyarrow as pa

from curation_ui import rows
from curation_ui.members import Place, inflated, object_in, text_at
from shards import Dataset, Storage, sidecar
from shards.entry import run_lengths

_SAID = ("caption", "subject", "width", "height", "pts", "time_base", "tracks", "scores", "provenance")


class Holdings(Protocol):
    """One dataset as the page reads it; it stays as it was when opened."""

    @property
    def title(self) -> str: ...

    @property
    def storage(self) -> Storage: ...

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Settings of the build; {} where nobody says."""

    @property
    def why_not(self) -> str | None:
        """Why no verdicts can be given; None: they can."""

    @property
    def content(self) -> Mapping[str, str]:
        """Content digest by key, of what verdicts can be given about."""

    @property
    def table(self) -> pa.Table:
        """The grid's rows (`key` and whatever is known), in the order of the shards."""

    def __len__(self) -> int: ...

    def row_of(self, key: str) -> int:
        """Raises `KeyError`."""

    def texts(self) -> Iterator[tuple[str, ...]]:
        """What a search looks into, row by row."""

    def video(self, row: int) -> Place | None: ...

    def strip(self, row: int) -> Place | None: ...

    def masks(self, row: int) -> Place | None: ...

    def description(self, row: int) -> dict[str, Any]:
        """What is said of a clip: of our shards the JSON member, of foreign ones whatever JSON they bring."""


class OwnShards:
    """A dataset of our format."""

    why_not: str | None = None

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.title = dataset.info.name
        self.storage = dataset.storage
        self.recipe = dataset.info.recipe
        self.index = dataset.index
        self.content = _Content(dataset)

    @property
    def table(self) -> pa.Table:
        return rows.of_samples(self.index)

    def __len__(self) -> int:
        return len(self.dataset)

    def row_of(self, key: str) -> int:
        return self.dataset.row_of(key)

    def texts(self) -> Iterator[tuple[str, ...]]:
        names = ("caption", "subject", "video", "key")
        for batch in self.index.select(names).to_batches(max_chunksize=4096):
            yield from zip(*(batch[name].to_pylist() for name in names), strict=True)

    def video(self, row: int) -> Place:
        return self._place(row, "mp4", self._value(row, "mp4_sha256"))

    def strip(self, row: int) -> Place:
        return self._place(row, "strip.jpg", f"{self._value(row, 'sha256')}-strip")

    def masks(self, row: int) -> Place:
        return self._place(row, "masks", f"{self._value(row, 'sha256')}-masks")

    def description(self, row: int) -> dict[str, Any]:
        said = object_in(text_at(self._place(row, "json", "")))
        key = self.dataset.key_of(row)
        if said.get("key") != key:
            raise ValueError(f"the description of {key} is of {said.get('key')}; run `dreamreel shards verify`")
        missing = [name for name in _SAID if name not in said]
        if missing:
            raise ValueError(f"the description of {key} lacks {', '.join(missing)}; run `dreamreel shards verify`")
        return said

    def track_masks(self, row: int) -> dict[int, tuple[str | None, ...]]:
        """Run lengths of every track, [T]."""
        data = self.masks(row).read()
        inflated(data)
        return run_lengths(data)[1]

    def _place(self, row: int, member: str, tag: str) -> Place:
        prefix = sidecar.PLACES[member]
        offset, size = (int(self._value(row, f"{prefix}_{what}")) for what in ("offset", "size"))
        path = f"shards/{self._value(row, 'shard')}.tar"
        return Place(storage=self.storage, path=path, offset=offset, size=size, tag=tag)

    def _value(self, row: int, column: str) -> Any:
        return self.index[column][row].as_py()


class _Content(Mapping[str, str]):
    """Content digest by key, looked up when it is asked for: few clips are judged in a minute."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, key: str) -> str:
        return str(self._dataset.index["sha256"][self._dataset.row_of(key)].as_py())

    def __iter__(self) -> Iterator[str]:
        return (self._dataset.key_of(row) for row in range(len(self._dataset)))

    def __len__(self) -> int:
        return len(self._dataset)
