"""Masked contexts: which are chosen, against plain Python; what is read, against the transformers library."""

import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
import xxhash

from tests.reference import assert_close, mean, sentence_bounds
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, read_back, write_lines
from x2static.durable.errors import X2StaticError
from x2static.pipeline import cli
from x2static.schemas.cache import Cache
from x2static.schemas.masked import NAME, PAIRS_SCHEMA, MaskedShard, masked_means
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.masked import choose_pairs, plan_masked, read_masked
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools.masked import Masked
from x2static.stage1_encode.repair import repair

HERE = Origin(None, (), "cpu", False)


def read(folder: Path, most: int = 3, seed: int = 0, min_count: int = 2) -> dict:
    return read_masked(Cache.open(folder), HERE, Masked(most, seed, min_count))


def rows_of(folder: Path) -> dict[tuple[str, int, int], np.ndarray]:
    """Every masked context of a cache, by word, shard and row."""
    found = {}
    for number, shard in enumerate(Cache.open(folder).shards()):
        masked, lexicon = MaskedShard.of(shard), shard.lexicon()["word"].to_pylist()
        for pair, row in zip(masked.pairs.to_pylist(), masked.contexts(), strict=True):
            found[lexicon[pair["word_id"]], number, pair["context"]] = row
    return found


@pytest.mark.parametrize(("family", "context"), [("bert", "paragraph"), ("roberta", "sentence"), ("gpt2", "paragraph")])
def test_what_is_read_is_the_sentence_without_the_word_as_the_library_reads_it(family, context, readers, tmp_path):
    reader, texts = readers(family), [text.replace("the", "The the", 1) for text in paragraphs(12)]
    corpus = write_lines(tmp_path / "t.txt", texts)
    encode(config_of(reader.teacher.folder, corpus, tmp_path / "cache", unit=5, context=context))
    read(tmp_path / "cache", most=4)
    sentences = [text[start:stop] for text in texts for start, stop in sentence_bounds(text)]
    rows = rows_of(tmp_path / "cache")
    print(len(rows))
