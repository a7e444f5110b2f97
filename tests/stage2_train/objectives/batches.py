"""Batches of random targets, with negatives of either kind."""

import torch

from x2static.stage2_train.objectives.negative_sampling import FreshNegatives, SharedNegatives

WORDS, DIM, CONTEXTS, TARGETS = 50, 19, 12, 40


def batch_of(seed: int, shared: bool, dtype: torch.dtype = torch.float32) -> FreshNegatives | SharedNegatives:
    """Forty targets; the last context has none."""
    draw = torch.Generator().manual_seed(seed)
    contexts = torch.randn(CONTEXTS, DIM, generator=draw, dtype=dtype)
    context_of = torch.randint(0, CONTEXTS - 1, (TARGETS,), generator=draw)
    if not shared:
        return FreshNegatives(contexts, context_of, torch.randint(0, WORDS, (TARGETS, 4), generator=draw))
    pool = torch.randperm(WORDS, generator=draw)[:9].sort().values
    words = torch.randint(0, WORDS, (TARGETS,), generator=draw)
    return SharedNegatives(contexts, context_of, words, pool, torch.rand(9, generator=draw, dtype=dtype), dtype)
