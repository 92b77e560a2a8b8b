"""A dataset's index, opened with nothing loaded but what that takes: it is read while the server is being loaded."""

from shards import Dataset, Storage, sidecar
from shards.writer import INFO

INDEX = tuple(name for name in sidecar.SCHEMA.names if name != "pts")
"""What the page keeps of the sidecars: all but the frame times, which stand in every clip's own description."""


def open_index(url: str) -> Dataset | None:
    """None where there is no dataset of ours, but perhaps foreign tars. Raises `ValueError`."""
    return Dataset.open(url, INDEX) if Storage.at(url).exists(INFO) else None
