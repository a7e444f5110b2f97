"""The code that a CPU's matrix library makes for each shape of a product, and how much of it is kept."""

import os

# A layer has three to eight kinds of products, and batches of one shape come one after the other.
KEPT_BY_THREAD, KEPT_IN_ALL = "8", "16"


def keep_few() -> None:
    """Keep the code of the last few shapes, where the libraries would keep that of the last 1,024 in every lane.

    It took 2 MB a shape, 130 MB of an encode, and came to lie between the states, so that the next batch's did not fit
    into the holes: 8 in a thread instead of 16 are 5 % faster. To make it again costs less than can be measured, unless
    there is no room for all kinds of a layer (docs/LOG.md, 2026-11-21 and 22). The libraries read these settings at the
    first product of the process; a user's own ones stay.
    """
    os.environ.setdefault("LRU_CACHE_CAPACITY", KEPT_BY_THREAD)  # ideep's, between torch and oneDNN
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_IN_ALL)
