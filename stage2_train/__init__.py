"""Stage two: shards -> word vectors. Never imports transformers or datasets."""

from stage2_train.trainer import train

__all__ = ["train"]
