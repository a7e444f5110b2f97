"""A folder that a browser needs, and nothing else: the vectors, the tokenizer, and a page that encodes sentences."""

from importlib.resources import files
from pathlib import Path

from x2static.pipeline.export import static_model
from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.vectors import WordVectors


def write(vectors: WordVectors, folder: Path, smaller: Smaller) -> None:
    """Write the folder. Raises X2StaticError: no JSON cuts text as training did."""
    static_model.write(vectors, folder, smaller)
    for file in (files("x2static.pipeline.export") / "browser").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
