"""Records of a folder's parts: one JSON file each, whole or absent, beside what it is of."""

from pathlib import Path

from pydantic import BaseModel

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import Model, checked_model, read_sealed, sealed_json, write_atomically


def save(file: Path, record: BaseModel) -> None:
    """Write a record, whole or not at all; its folder is made if missing."""
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, sealed_json(record.model_dump(mode="json")))


def load(file: Path, kind: type[Model]) -> Model | None:
    """Return a record, None where there is none. Raises X2StaticError: it is damaged."""
    try:
        return checked_model(file, read_sealed(file), kind) if file.is_file() else None
    except X2StaticError as error:
        raise X2StaticError(f"{error}; remove the file and run the same command again") from error
