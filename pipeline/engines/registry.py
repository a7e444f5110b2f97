"""The engines of `x2static encode`: each is a file here with a function `engine`, and its name in ENGINES."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:  # all of it is imported when an engine is asked for: `x2static encode --help` is to be quick
    from x2static.schemas.encoding import EncodeConfig
    from x2static.stage1_encode.pools.pool import Pool
    from x2static.stage1_encode.worker import Engine

ENGINES = ("local", "ray")


def find_engine(name: str, config: "EncodeConfig", pools: "Sequence[Pool]", **options: Any) -> "Engine":
    """Return an engine for a configuration and pools; `options` are its own."""
    module = importlib.import_module(f"x2static.pipeline.engines.{name}")
    return cast("Engine", module.engine(config, pools, **options))
