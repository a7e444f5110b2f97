"""A table of cells as plain text: a row an item, a column a set of vectors."""

WIDEST = 40  # characters of a heading


def grid(rows: list[str], columns: dict[str, list[str]]) -> str:
    """Return a table, lines without an end of line at the last.

    Args:
        rows: what stands before each row.
        columns: the cells of each column, as many as rows, by what stands above it.
    """
    headed = [["", *rows], *([_short(name), *cells] for name, cells in columns.items())]
    widths = [max(map(len, column)) for column in headed]
    lines = zip(*headed, strict=True)
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def number(value: float | None) -> str:
    """Return a figure with three decimals, or `none`."""
    return "none" if value is None else f"{value:.3f}"


def _short(name: str) -> str:
    return name if len(name) <= WIDEST else "..." + name[3 - WIDEST :]
