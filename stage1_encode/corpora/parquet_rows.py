"""Rows of a Parquet file from any row on: whole row groups before it are never read."""

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq


def rows_from(file: pq.ParquetFile, column: str, start: int) -> Iterator[tuple[int, Any]]:
    """Yield (row, value) of a column from row `start` on, a row group in memory at a time.

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
                yield row, value.as_py()
        first = stop
