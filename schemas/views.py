"""Views of words that a cache may hold: whether they are there; `word_states.py` and `phrases.py` have their forms."""

from x2static.schemas.cache import Cache
from x2static.schemas.phrases import newest_blocks
from x2static.schemas.word_states import NAME


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
