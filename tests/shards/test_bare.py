"""Numpy and Arrow into one another, the same as pyarrow's own way, and without pandas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from shards import bare

GOLDEN = Path(__file__).parents[1] / "golden/dataset"


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_columns_are_those_of_pyarrow(dtype: type) -> None:
    parts: list[NDArray[Any]] = [np.arange(5, dtype=dtype), np.empty(0, dtype), np.arange(7, 12, dtype=dtype)]
    whole = pa.chunked_array([pa.array(part) for part in parts])
    for column in (
        whole,
        whole.slice(3, 4),
        whole.slice(3, 0),
        whole.chunk(2).slice(2),
        pa.chunked_array([], whole.type),
    ):
        assert np.array_equal(bare.numbers(column), column.to_numpy())
        assert bare.numbers(column).dtype == dtype
    assert bare.array(parts[2][::2]).equals(pa.array(parts[2][::2]))


def test_what_is_no_number_is_null() -> None:
    values = np.array([1.0, np.nan, *[3.0] * 9, np.nan])
    assert bare.array(values).equals(pa.array(values, from_pandas=True))
    assert bare.array(np.empty(0)).equals(pa.array([], pa.float64()))


@pytest.mark.parametrize("times", [0, 1, 5])
def test_a_text_is_repeated(times: int) -> None:
    assert bare.repeated("drei Öfen", times).equals(pa.array(["drei Öfen"] * times, pa.string()))


def test_opening_a_dataset_loads_no_pandas() -> None:
    code = "import sys; from shards import Dataset, select; select.columns(Dataset.open(sys.argv[1]).index)"
    told = [sys.executable, "-c", f"{code}; print('pandas' in sys.modules)", str(GOLDEN)]
    assert subprocess.run(told, check=True, capture_output=True, text=True).stdout == "False\n"
