"""Numpy and Arrow into one another by their buffers: `pa.array` and `to_numpy` load pandas, which takes a second."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """The values of a column of numbers without nulls, [N]; not to be written to."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    dtype = column.type.to_pandas_dtype()
    parts = [np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset :][: len(chunk)] for chunk in chunks if len(chunk)]
    return np.concatenate([np.empty(0, dtype), *parts]) if len(parts) != 1 else parts[0]


def array(values: NDArray[Any]) -> pa.Array:
    """Numbers [N] as Arrow has them; null where a float is NaN."""
    values = np.ascontiguousarray(values)
    there = np.packbits(~np.isnan(values), bitorder="little") if values.dtype.kind == "f" else None
    buffers = [None if there is None else pa.py_buffer(there), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def repeated(text: str, times: int) -> pa.Array:
    """The same text `times` times."""
    data = text.encode()
    offsets = np.arange(times + 1, dtype=np.int32) * len(data)
    return pa.Array.from_buffers(pa.string(), times, [None, pa.py_buffer(offsets), pa.py_buffer(data * times)])
