"""Rows of a Parquet file from any row on: whole row groups before it are never read."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def rows_from(file: pq.ParquetFile, column: str, start: int) -> Iterator[tuple[int, Any]]:
    """Yield (row, value) of a column from row `start` on, a row group in memory at a time.

    A string that is no valid UTF-8 comes as its bytes: the format does not check what it is given.

    Args:
        file: an open file, local or behind a file system that reads ranges.
        column: its name.
        start: number of the first row, counted from the beginning of the file.
    """
    first = 0
    for group in range(file.num_row_groups):
        stop = first + file.metadata.row_group(group).num_rows
        if start < stop:
            values = file.read_row_group(group, columns=[column]).column(0)
            skipped = max(0, start - first)
            for row, value in enumerate(values.slice(skipped), first + skipped):
                yield row, _value(value)
        first = stop


def _value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        if isinstance(value, pa.DictionaryScalar):
            value = value.value
        return value.as_buffer().to_pybytes()
