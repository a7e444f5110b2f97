"""The pools that there are, by the name of their folder in a shard. A file of its own, since each imports `pool.py`."""

from collections.abc import Mapping
from typing import Any

from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.occurrences import n_of
from x2static.schemas.word_states import layer_of
from x2static.stage1_encode.pools.contexts import Contexts
from x2static.stage1_encode.pools.masked import Masked
from x2static.stage1_encode.pools.occurrences import Occurrences
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.pools.word_states import LayerStates, WordStates, further_layers
from x2static.stage1_encode.pools.word_sums import WordSums

POOLS: dict[str, type[Pool]] = {pool.name: pool for pool in (Contexts, WordSums, WordStates, Occurrences, Masked)}


def wanted_pools(config: EncodeConfig, options: Mapping[str, Any]) -> list[Pool]:
    """Return the pools that options of `x2static encode` ask for, by these options' names."""
    pools = [pool.of(config, options[pool.option]) for pool in POOLS.values() if options.get(pool.option)]
    return pools + (further_layers(config, layers) if (layers := options.get("state_layers")) else [])


def pool_of_itself(name: str) -> Pool | None:
    """Return the pool of a name, if the name is all that is asked of it; None for any other."""
    if (layer := layer_of(name)) is not None:
        return LayerStates(layer)
    if (n := n_of(name)) is not None:
        return Occurrences(n)
    return kind() if (kind := POOLS.get(name)) and kind.of_itself else None
