"""Results that take long, kept as files one by one, so that a killed command goes on where it was."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2static.durable.storage import canonical_json, read_json, write_atomically

Result = dict[str, Any]


@dataclass(frozen=True)
class KeptResults:
    """A folder of results; of what each was made of, its file's name tells a hash and its content all.

    Results of other settings stand beside one another, so that none is ever taken for another or lost to it.

    Attributes:
        folder: where they are kept, made if missing; None keeps nothing.
    """

    folder: Path | None

    def get(self, name: str, origin: dict[str, Any], make: Callable[[], Result]) -> Result:
        """Return a result: the one that is kept, or a new one, which is then kept.

        Args:
            name: what it is, the beginning of the file's name.
            origin: all that can change it, as JSON has it.
            make: makes it; its values are those of JSON too.

        Raises:
            X2StaticError: the file is damaged.
            OSError: it cannot be written.
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{name}-{hashlib.sha256(canonical_json(origin)).hexdigest()[:12]}.json"
        if path.is_file():
            kept = read_json(path)
            if isinstance(kept, dict) and kept.get("origin") == origin and isinstance(kept.get("result"), dict):
                return dict(kept["result"])
        result = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, canonical_json({"origin": origin, "result": result}))
        return result
