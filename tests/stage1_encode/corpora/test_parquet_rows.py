"""Rows of a Parquet file from any row on, without the row groups before it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from x2static.stage1_encode.corpora.parquet_rows import rows_from


@pytest.fixture
def file(tmp_path: Path) -> pq.ParquetFile:
    table = pa.table({"text": [None if row == 5 else f"row {row}" for row in range(11)], "other": list(range(11))})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=4)
    return pq.ParquetFile(tmp_path / "rows.parquet")


@pytest.mark.parametrize("start", range(13))
def test_rows_from_any_start(start: int, file: pq.ParquetFile) -> None:
    expected = [(row, None if row == 5 else f"row {row}") for row in range(start, 11)]
    assert list(rows_from(file, "text", start)) == expected


def test_row_groups_before_the_start_are_not_read(file: pq.ParquetFile, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = pq.ParquetFile.read_row_group

    def spy(self: pq.ParquetFile, group: int, **options: object) -> pa.Table:
        read.append(group)
        return real(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    assert next(rows_from(file, "text", 9)) == (9, "row 9")
    assert read == [2]
