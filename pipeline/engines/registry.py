"""The engines that there are, by name; a new one is a file and its line here (apart from them: each is imported)."""

from collections.abc import Callable, Sequence

from x2static.pipeline.engines.local import local
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.worker import Engine

ENGINES: dict[str, Callable[[EncodeConfig, Sequence[Pool], int], Engine]] = {"local": local}
