"""What a cache records of the configuration that made it, as a configuration that would make its shards again."""

from typing import Any

from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Plan

# Fields of EncodeConfig that stand under the same name in the cache's encoding, or in the plan.
IN_ENCODING = (
    "layer",
    "context",
    "compat",
    "dtype",
    "precision",
    "compile",
    "language",
    "min_sentences",
    "min_characters",
)
IN_PLAN = ("unit", "sample", "seed", "on_bad_text", "max_paragraph_bytes")


def recorded_config(cache: Cache, plan: Plan, **changes: Any) -> EncodeConfig:
    """Return the configuration that a plan of a cache was made with.

    A plan's own, since the corpora of a merged cache may have been cut otherwise each.

    Args:
        cache: the cache.
        plan: one of its plans; of a corpus whose limit was raised, the latest.
        **changes: fields that are to be otherwise: where the teacher or the text is now, the device.
    """
    values: dict[str, Any] = {
        "model": cache.manifest.teacher,
        "revision": cache.manifest.revision,
        "corpus": (plan.corpus,),
        "cache": cache.path,
        "limit": None if plan.limit is None else plan.first + plan.limit,
        **{name: getattr(cache.manifest.encoding, name) for name in IN_ENCODING},
        **{name: getattr(plan, name) for name in IN_PLAN},
        "format": plan.identity.get("format", "auto"),
    }
    return EncodeConfig.model_validate(values | changes)
