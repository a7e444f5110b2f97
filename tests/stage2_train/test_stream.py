from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.stage2_train.caches import DIM, make_cache, occurrences, opened, shard_content, write_cache
from x2static.schemas.cache import Cache
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.stream import Stream, cut


def make_stream(path: Path, **changes) -> Stream:
    return opened(path, **changes)[1]


def epoch(stream: Stream, number: int = 0) -> list:
    return [batch for _, batch, _ in stream.batches(Position(number), number + 1)]


def keys(batches: list) -> list[bytes]:
    """A name for every context, in the order of training: contexts are all different."""
    return [row.tobytes() for batch in batches for row in batch.contexts.numpy()]


def contexts_of(path: Path) -> list[bytes]:
    return [row.tobytes() for shard in Cache.open(path).shards() for row in shard.contexts()]


@pytest.mark.parametrize("megabytes", [1, 64])
def test_an_epoch_holds_every_context_once_and_every_target_with_its_own_context(cache: Path, megabytes: int):
    _, stream, vocabulary = opened(cache, buffer_megabytes=megabytes)
    assert (len(stream.plan(0)) > 1) == (megabytes == 1)
    batches, words = epoch(stream), vocabulary.words.to_pylist()
    assert Counter(keys(batches)) == Counter(contexts_of(cache))
    assert max(Counter(keys(batches)).values()) == 1
    contexts, names = occurrences(cache, words)
    assert Counter(
        (batch.contexts[context].numpy().tobytes(), words[word])
        for batch in batches
        for context, word in zip(batch.context_of, batch.words, strict=True)
    ) == Counter((row.astype(np.float16).tobytes(), name) for row, name in zip(contexts, names, strict=True))


def test_batches_hold_whole_paragraphs_and_so_many_of_them(cache: Path):
    paragraph_of = {
        row.tobytes(): (index, int(paragraph))
        for index, shard in enumerate(Cache.open(cache).shards())
        for row, paragraph in zip(shard.contexts(), shard.words()["paragraph"].to_numpy(), strict=True)
    }
    seen: list[tuple[int, int]] = []
    for _, batch, after in make_stream(cache, batch_size=32).batches(Position(0), 1):
        paragraphs = {paragraph_of[row.tobytes()] for row in batch.contexts.numpy()}
        seen += paragraphs
        assert len(paragraphs) == 32 or (len(paragraphs) < 32 and after.batch == 0)  # a buffer's last
    assert sorted(seen) == sorted(set(paragraph_of.values()))  # each once, so none in two batches


def test_a_batch_counts_sentences_where_the_context_is_the_sentence(tmp_path: Path):
    path = make_cache(tmp_path / "cache", shards=2, paragraphs=60, context="sentence")
    batches = epoch(make_stream(path, batch_size=32))
    assert {len(batch.contexts) for batch in batches[:-1]} == {32}
    assert Counter(keys(batches)) == Counter(contexts_of(path))


def test_epochs_and_seeds_differ_in_their_order_and_equal_seeds_do_not(cache: Path):
    first = keys(epoch(make_stream(cache)))
    assert first == keys(epoch(make_stream(cache)))
    assert first != keys(epoch(make_stream(cache), 1))
    assert first != keys(epoch(make_stream(cache, seed=1)))
    assert first != contexts_of(cache)


def test_no_buffer_is_larger_than_asked_for_and_no_block_than_its_quarter(cache: Path):
    stream = make_stream(cache, buffer_megabytes=1)
    for buffer in stream.plan(0):
        rows = [block.stop - block.start for block in buffer]
        assert sum(rows) * DIM * 2 <= 1_000_000
        assert max(rows) * DIM * 2 <= 250_000
    assert max(buffer.contexts.nbytes for buffer in stream.in_order()) <= 1_000_000


def test_a_shard_is_cut_at_paragraphs_and_a_paragraph_never(cache: Path):
    shard = Cache.open(cache).shard(0)
    paragraphs = shard.words()["paragraph"].to_numpy()
    blocks = cut(shard, "paragraph", 3)  # shorter than many paragraphs
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert blocks[-1].stop == len(paragraphs)
    assert all(paragraphs[block.stop] != paragraphs[block.stop - 1] for block in blocks[:-1])
    assert all(block.stop - block.start <= 3 or len(set(paragraphs[block.start : block.stop])) == 1 for block in blocks)


def test_training_can_begin_at_any_position(cache: Path):
    stream = make_stream(cache)
    everything = list(stream.batches(Position(0), 2))
    for number in (1, len(everything) // 2, len(everything) - 1):
        assert everything[number][0] == everything[number - 1][2]
        rest = list(make_stream(cache).batches(everything[number][0], 2))
        assert [position for position, _, _ in rest] == [position for position, _, _ in everything[number:]]
        assert keys([batch for _, batch, _ in rest]) == keys([batch for _, batch, _ in everything[number:]])
    assert everything[-1][2] == Position(2)


def test_shards_and_contexts_without_words_do_no_harm(tmp_path: Path):
    path = write_cache(tmp_path / "cache", [shard_content(0, paragraphs, DIM) for paragraphs in (0, 20, 0)])
    assert Counter(keys(epoch(make_stream(path)))) == Counter(contexts_of(path))
