"""Stage two: shards -> word vectors. Never imports transformers or datasets."""
