"""A Parquet file with one video a row: where it lies, and what is said of it."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import Video
from pipeline.sources.place import Place
from pipeline.sources.source import Entry, Source, SourceFault, as_nouns


class Parquet(Source):
    """Rows of a Parquet file: `uri`, and where present `id`, `caption` and `nouns` (list of strings).

    A relative `uri` starts at the file's folder; without an `id`, the `uri` as written is the id. Whether a
    video is there is not looked up: the stage that opens it tells.
    """

    name: ClassVar[str] = "parquet"
    expects: ClassVar[str] = "rows with a uri"

    def entries(self) -> Iterator[Entry]:
        place, name = Place.of_file(self.place)
        with place.stream(name) as stream:
            file = _opened(stream, place.uri(name))
            columns = [c for c in ("uri", "id", "caption", "nouns") if c in file.schema_arrow.names]
            number = 0
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield _entry(place, number, row)


def _opened(stream: Any, uri: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(stream)
    except pa.ArrowInvalid:
        raise ValueError(f"{uri}: not a Parquet file; write one with a column uri") from None
    schema = file.schema_arrow
    if "uri" not in schema.names:
        raise ValueError(f"{uri}: column uri is missing (it has {', '.join(schema.names)}); add it")
    for name in {"uri", "caption"} & set(schema.names):
        if not _is_text(schema.field(name).type):
            raise ValueError(f"{uri}: column {name} is {schema.field(name).type}; make it string")
    if "nouns" in schema.names and not _is_texts(schema.field("nouns").type):
        raise ValueError(f"{uri}: column nouns is {schema.field('nouns').type}; make it list<string>")
    return file


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string())


def _is_texts(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.ListType | pa.LargeListType) and _is_text(kind.value_type)


def _entry(place: Place, number: int, row: dict[str, Any]) -> Entry:
    uri = row["uri"]
    if not uri:
        return SourceFault(id=f"parquet/row {number}", why="row without a uri", value=None)
    name = row.get("id")
    return Video(
        id=f"parquet/{uri if name is None else name}",
        uri=uri if uri.startswith("/") or "://" in uri else place.uri(uri),
        caption=" ".join((row.get("caption") or "").split()) or None,
        nouns=as_nouns(noun for noun in row.get("nouns") or () if noun is not None),
    )
