"""Stage one: corpus -> teacher -> shards."""
