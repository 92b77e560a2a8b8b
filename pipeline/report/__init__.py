"""The report of a build's runs: one self-contained HTML file in the dataset's folder."""

from pipeline.report.facts import facts
from pipeline.report.page import page
from pipeline.run_log import latest
from shards.storage import Storage

PATH = "report.html"

__all__ = ["PATH", "render", "write"]


def render(url: str, price: float | None = None) -> str:
    """The report of the dataset at `url`, as it stands, as HTML; `price` is that of a GPU for an hour.

    Raises ValueError where there is no dataset.
    """
    return page(facts(Storage.at(url)), price)


def write(url: str, price: float | None = None) -> str | None:
    """Write the report into the dataset; its place, or None where the last run worked on nothing and it stands."""
    storage = Storage.at(url)
    known = latest(storage)
    if known and not any(stage["answered"] for stage in known[-1].stages) and storage.exists(PATH):
        return None
    storage.write(PATH, render(url, price).encode())
    return f"{storage.url}/{PATH}"
