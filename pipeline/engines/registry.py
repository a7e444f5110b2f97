"""The engines of `x2static encode`: each is a file here with a function `engine`, and its name in ENGINES."""

import importlib
from typing import Any

ENGINES = ("local",)


def find_engine(name: str, *arguments: Any) -> Any:
    """Return an engine (`stage1_encode/worker.py`) for a configuration and pools; its file is imported only now."""
    return importlib.import_module(f"x2static.pipeline.engines.{name}").engine(*arguments)
