"""Stage one: corpus -> teacher -> shards."""

from stage1_encode.encode import encode

__all__ = ["encode"]
