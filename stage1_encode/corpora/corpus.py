"""What every corpus can do: say what it is, be cut into units, and give the paragraphs of a unit."""

from dataclasses import dataclass
from typing import Any, Protocol

from x2static.schemas.manifest import Plan, Unit


@dataclass(frozen=True)
class UnitText:
    """The text of one unit.

    Attributes:
        paragraphs: in corpus order, before the filter.
        unit: the slice as it was read, `stop` known.
        last: whether a stream ends with it, or has reached its limit.
    """

    paragraphs: list[str]
    unit: Unit
    last: bool


class Corpus(Protocol):
    """A source of paragraphs with positions that can be returned to.

    Attributes:
        spec: the corpus as the user named it.
    """

    spec: str

    def seen(self) -> dict[str, Any]:
        """Return cheap facts; as long as they are equal, the identity is taken to be the same."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return what tells this corpus from any other; may read all of it."""
        ...

    def plan(self, identity: dict[str, Any], first: int, after: Unit | None) -> Plan:
        """Return the plan for what comes after `first` paragraphs, which end with the unit `after` (None: none)."""
        ...

    def connect(self, plan: Plan) -> None:
        """Get ready to read the units of a plan that was made in an earlier run."""
        ...

    def read(self, unit: Unit) -> UnitText:
        """Return the paragraphs of a unit."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
