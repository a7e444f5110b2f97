from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.stage2_train.caches import DIM, make_cache, opened, rewritten_shard, shard_content, write_cache
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.shard import ranges
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.stream import Stream, cut


def make_stream(path: Path, **changes) -> Stream:
    return opened(path, **changes)[1]


def epoch(stream: Stream, number: int = 0) -> list:
    return [batch for _, batch, _ in stream.batches(Position(number), number + 1)]


def keys(batches: list) -> list[bytes]:
    """A name for every context, in the order of training: contexts are all different."""
    return [row.tobytes() for batch in batches for row in batch.contexts.numpy()]


def pairs(batches: list) -> Counter:
    return Counter(
        (b.contexts[c].numpy().tobytes(), int(w)) for b in batches for c, w in zip(b.context_of, b.words, strict=True)
    )


def truth(path: Path) -> tuple[list[bytes], Counter]:
    """Contexts in the cache's order, and (context, word of the vocabulary) pairs, read without the code under test."""
    contexts, found = [], Counter()
    words: Counter = Counter()
    for shard in Cache.open(path).shards():
        words.update(dict(zip(*shard.lexicon().to_pydict().values(), strict=True)))
    kept = sorted((word for word in words if words[word] >= 20), key=lambda word: (-words[word], word))
    for shard in Cache.open(path).shards():
        lexicon = shard.lexicon()["word"].to_pylist()
        for row, ids in zip(shard.contexts(), shard.words()["word_ids"].to_pylist(), strict=True):
            contexts.append(row.tobytes())
            found.update((row.tobytes(), kept.index(lexicon[i])) for i in ids if lexicon[i] in kept)
    return contexts, found


def test_an_epoch_holds_every_context_once_and_every_target_with_its_own_context(cache: Path):
    stream = make_stream(cache)
    contexts, targets = truth(cache)
    assert len(stream.plan(0)) > 1
    batches = epoch(stream)
    assert Counter(keys(batches)) == Counter(contexts)
    assert max(Counter(contexts).values()) == 1
    assert pairs(batches) == targets


def test_a_large_buffer_gives_the_same_targets_as_small_ones(cache: Path):
    large = make_stream(cache, buffer_megabytes=64)
    assert len(large.plan(0)) == 1
    assert pairs(epoch(large)) == pairs(epoch(make_stream(cache)))


def test_batches_hold_whole_paragraphs_and_so_many_of_them(cache: Path):
    paragraph_of = {
        row.tobytes(): (index, int(paragraph))
        for index, shard in enumerate(Cache.open(cache).shards())
        for row, paragraph in zip(shard.contexts(), shard.words()["paragraph"].to_numpy(), strict=True)
    }
    seen: list[tuple[int, int]] = []
    stream = make_stream(cache, batch_size=32)
    sizes: dict[tuple[int, int], list[int]] = {}
    for position, batch, _ in stream.batches(Position(0), 1):
        paragraphs = list(dict.fromkeys(paragraph_of[row.tobytes()] for row in batch.contexts.numpy()))
        seen += paragraphs
        sizes.setdefault((position.epoch, position.buffer), []).append(len(paragraphs))
    assert sorted(seen) == sorted(set(paragraph_of.values()))  # each once, so none in two batches
    for counts in sizes.values():
        assert set(counts[:-1]) <= {32}
        assert 1 <= counts[-1] <= 32


def test_a_batch_counts_sentences_where_the_context_is_the_sentence(tmp_path: Path):
    path = make_cache(tmp_path / "cache", shards=2, paragraphs=60, context="sentence")
    batches = epoch(make_stream(path, batch_size=32))
    assert {len(batch.contexts) for batch in batches[:-1]} == {32}
    assert Counter(keys(batches)) == Counter(truth(path)[0])


def test_epochs_and_seeds_differ_in_their_order_and_equal_seeds_do_not(cache: Path):
    first = keys(epoch(make_stream(cache)))
    assert first == keys(epoch(make_stream(cache)))
    assert first != keys(epoch(make_stream(cache), 1))
    assert first != keys(epoch(make_stream(cache, seed=1)))
    assert first != truth(cache)[0]


def test_shards_come_in_another_order_each_epoch(cache: Path):
    stream = make_stream(cache)
    orders = {tuple(block.shard.folder.name for buffer in stream.plan(n) for block in buffer) for n in range(8)}
    assert len(orders) > 2


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
    full = shard_content(0, 20, DIM)
    none = type(full)(
        contexts=np.zeros((0, DIM), np.float16),
        paragraphs=np.zeros(0, np.int32),
        word_offsets=np.zeros(1, np.int32),
        word_ids=np.zeros(0, np.int32),
        lexicon=[],
        counts=np.zeros(0, np.int64),
        n_paragraphs=0,
        n_tokens=0,
    )
    path = write_cache(tmp_path / "cache", [none, full, none])
    assert Counter(keys(epoch(make_stream(path)))) == Counter(truth(path)[0])


def test_ranges_are_laid_end_to_end():
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_contexts_that_are_not_finite_are_refused_by_shard_and_row(cache_copy: Path, bad: float):
    contexts = shard_content(1, 130, DIM).contexts
    contexts[301, 7] = bad
    with (
        rewritten_shard(cache_copy, 1, contexts=contexts),
        pytest.raises(X2StaticError, match=r"000001: context 301 .*x2static cache repair DIR"),
    ):
        epoch(make_stream(cache_copy))


def test_word_ids_beyond_the_lexicon_are_refused(cache_copy: Path):
    ids = shard_content(1, 130, DIM).word_ids.copy()
    ids[5] = 77
    with (
        rewritten_shard(cache_copy, 1, word_ids=ids),
        pytest.raises(X2StaticError, match=r"000001: words.arrow names word 77"),
    ):
        epoch(make_stream(cache_copy))


def test_rows_that_do_not_fit_the_contexts_are_refused(cache_copy: Path):
    full = shard_content(1, 130, DIM)
    rows = len(full.contexts) - 1
    changes = {"paragraphs": full.paragraphs[:-1], "word_offsets": full.word_offsets[:-1]}
    with (
        rewritten_shard(cache_copy, 1, **changes),
        pytest.raises(X2StaticError, match=f"000001: words.arrow has {rows} rows"),
    ):
        epoch(make_stream(cache_copy))


def test_contexts_of_another_length_are_refused(cache_copy: Path):
    contexts = shard_content(1, 130, DIM).contexts[:, :100]
    with (
        rewritten_shard(cache_copy, 1, contexts=contexts),
        pytest.raises(X2StaticError, match=r"000001: contexts .* have shape"),
    ):
        epoch(make_stream(cache_copy))
