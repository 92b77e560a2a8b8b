"""Where a source lies: a folder on a disk or in an object store, listed and read by names relative to it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Self, cast

import fsspec

from shards.storage import Storage


@dataclass(frozen=True, slots=True)
class Place:
    """A folder. Names given and returned are relative to it; those that begin with a dot are never listed."""

    storage: Storage

    @classmethod
    def at(cls, url: str) -> Self:
        """The folder at a local path or fsspec URL; it need not exist. Touches nothing."""
        return cls(Storage.at(url))

    @classmethod
    def existing(cls, url: str) -> Self:
        """The folder at a local path or fsspec URL. Raises ValueError where there is none."""
        place = cls.at(url)
        if not place.is_folder(""):
            raise ValueError(f"{place.uri('')}: there is no such folder; check the path")
        return place

    @classmethod
    def of_file(cls, url: str) -> tuple[Self, str]:
        """The folder of a file, and the file's name in it. Raises ValueError where there is no such file."""
        folder, slash, name = url.rpartition("/")
        place = cls.at(folder or slash or ".")
        if not name or not place.exists(name) or place.is_folder(name):
            raise ValueError(f"{url}: there is no such file; check the path")
        return place, name

    def uri(self, name: str) -> str:
        """Absolute path or full URL of what is called `name` here."""
        return f"{self.storage.url.rstrip('/')}/{name}" if name else self.storage.url

    def folder(self, name: str) -> "Place":
        return Place.at(self.uri(name))

    def exists(self, name: str) -> bool:
        return self.storage.exists(name)

    def is_folder(self, name: str) -> bool:
        filesystem, path = self._open(name)
        return bool(filesystem.isdir(path))

    def read(self, name: str) -> bytes:
        return self.storage.read(name)

    def stream(self, name: str) -> BinaryIO:
        """A file, open for reading piece by piece."""
        filesystem, path = self._open(name)
        return cast(BinaryIO, filesystem.open(path, "rb"))

    def lines(self, name: str) -> io.TextIOWrapper:
        """A UTF-8 text file, open for reading line by line; line ends are left as they are."""
        return io.TextIOWrapper(self.stream(name), encoding="utf-8-sig", newline="")

    def files(self, folder: str = "") -> list[str]:
        """Names of the files right inside `folder`, relative to it, sorted; [] where it is not."""
        return self._entries(folder)[0]

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders right inside `folder`, relative to it, sorted; [] where it is not."""
        return self._entries(folder)[1]

    def walk(self, folder: str = "") -> Iterator[tuple[str, list[str]]]:
        """Every folder from `folder` down, with the names of the files right inside it, in name order."""
        files, folders = self._entries(folder)
        yield folder, files
        for name in folders:
            yield from self.walk(join(folder, name))

    def _entries(self, folder: str) -> tuple[list[str], list[str]]:
        filesystem, path = self._open(folder)
        if not filesystem.isdir(path):
            return [], []
        files: list[str] = []
        folders: list[str] = []
        for info in filesystem.ls(path, detail=True):
            name = PurePosixPath(info["name"]).name
            if name.startswith(".") or info["name"].strip("/") == path.strip("/"):  # a store's mark for the folder
                continue
            linked = info["type"] not in ("file", "directory")  # a link says nothing of what it leads to
            is_folder = filesystem.isdir(info["name"]) if linked else info["type"] == "directory"
            (folders if is_folder else files).append(name)
        return sorted(files), sorted(folders)

    def _open(self, name: str) -> tuple[Any, str]:
        # Listings are not kept: at ten million videos they would fill the memory.
        return cast(tuple[Any, str], fsspec.core.url_to_fs(self.uri(name), use_listings_cache=False))


def join(folder: str, name: str) -> str:
    """`name` inside `folder`, where either folder may be the root, ""."""
    return f"{folder}/{name}" if folder else name


def is_video(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _VIDEOS


def is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _IMAGES


_VIDEOS = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif", ".m4v"})
_IMAGES = frozenset({".jpg", ".jpeg", ".png"})
