"""Views of words that a cache may hold: whether they are there; `word_states.py` and `phrases.py` have their forms."""

from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.phrases import newest_blocks
from x2static.schemas.word_states import NAME, layer_of, pool_of


def lacking_views(cache: Cache, phrases: bool = True) -> str:
    """Return which views a cache lacks, and how it gets them; "" where it has all. `phrases`: whether these count.

    Raises X2StaticError: a block's marker is damaged.
    """
    markers, _ = cache.committed()
    if not markers or any(NAME not in marker.pools for marker in markers.values()):
        return "the cache has no word states; the `x2static encode` that made it, with --word-states, adds them"
    if phrases and not newest_blocks(cache.path, of_dictionary=False):
        return f"the cache has no words read in phrases; `x2static cache phrases {cache.path}` adds them"
    return ""


def pools_of_layers(cache: Cache, layers: str) -> list[str]:
    """Return the pools of the own states of some layers, "0+last". Raises X2StaticError: the cache lacks one."""
    own = cache.manifest.encoding.layer
    pools = {layer: NAME if layer == own else pool_of(layer) for layer in layers.split("+")}
    markers, _ = cache.committed()
    held = set.intersection(*(set(marker.pools) for marker in markers.values())) if markers else set()
    if lacking := [layer for layer, pool in pools.items() if pool not in held]:
        there = [own] * (NAME in held) + [str(layer) for layer in map(layer_of, sorted(held)) if layer is not None]
        has = f"there are those of {', '.join(there)}" if there else "there are none"
        again = f"the `x2static encode` that made it, with --state-layers {','.join(lacking)}, adds them"
        raise X2StaticError(f"{cache.path}: no own states of layer {', '.join(lacking)} here, {has}; {again}")
    return list(pools.values())
