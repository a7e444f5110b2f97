"""Format "parquet": one column of strings; the text of a row may hold several paragraphs, one a line."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from x2static.durable.errors import first_line
from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextSource, paragraphs_of_row

TEXT_TYPES = ("string", "large_string", "string_view", "null")


def read_parquet(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the paragraphs from number `line` of row `start` on; null is a row without any."""
    if not source.path.stat().st_size:
        return
    try:
        with pq.ParquetFile(source.path) as file:
            names = file.schema_arrow.names
            if names.count(source.column) != 1:
                n_columns = "more than one" if source.column in names else "no"
                what = f"{n_columns} column {source.column!r}; it has {', '.join(names)}"
                raise source.refusal(f"{what} (name one with PATH#column)")
            kind = file.schema_arrow.field(source.column).type
            if str(kind.value_type if pa.types.is_dictionary(kind) else kind) not in TEXT_TYPES:
                raise source.refusal(f"column {source.column!r} holds {kind}, not text")
            for row, value in rows_from(file, source.column, start):
                texts = source.texts_of_row(value, f"row {row}")
                yield from paragraphs_of_row(row, row + 1, texts, line if row == start else 0)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise source.refusal(f"not a Parquet file, or damaged or cut short ({first_line(error)})") from error


def rows_from(file: pq.ParquetFile, column: str, start: int) -> Iterator[tuple[int, Any]]:
    """Yield (row, value) of a column from row `start` on, with a row group in memory; no row before is read."""
    first = 0
    for group in range(file.num_row_groups):
        stop = first + file.metadata.row_group(group).num_rows
        if start < stop:
            values = file.read_row_group(group, columns=[column]).column(column)  # a.b is another's, too
            skipped = max(0, start - first)
            for row, value in enumerate(values.slice(skipped), first + skipped):
                yield row, _value(value)
        first = stop


def _value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:  # the format does not check what it holds
        if isinstance(value, pa.DictionaryScalar):
            value = value.value
        return value.as_buffer().to_pybytes()
