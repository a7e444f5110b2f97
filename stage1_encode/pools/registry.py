"""The pools that there are, by the name of their folder in a shard. A file of its own, since each imports `pool.py`."""

from x2static.stage1_encode.pools.contexts import Contexts
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.pools.word_sums import WordSums

POOLS: dict[str, type[Pool]] = {pool.name: pool for pool in (Contexts, WordSums)}
