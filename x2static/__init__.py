"""x2static: static word vectors distilled from contextual language models. The one name users import."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from x2static.durable.errors import X2StaticError
    from x2static.pipeline.api import distill, encode, evaluate, train
    from x2static.schemas.vectors import WordVectors

__all__ = ["WordVectors", "X2StaticError", "__version__", "distill", "encode", "evaluate", "train"]

_HOMES = {"WordVectors": "x2static.schemas.vectors", "X2StaticError": "x2static.durable.errors"}
_HOMES |= dict.fromkeys(("distill", "encode", "evaluate", "train"), "x2static.pipeline.api")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line starts without numpy, in a tenth of the time."""
    if name == "__version__":
        return importlib.import_module("x2static.machine.packages").package_version("x2static")
    if name not in _HOMES:
        raise AttributeError(f"module 'x2static' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
