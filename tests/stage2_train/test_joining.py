"""Shards with words joined, against a plain loop; what is counted, trained and left out."""

import logging
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schemas.caches import ShardContent
from tests.schemas.test_multiword import plainly
from tests.stage1_encode.forks import shared_forks
from tests.stage1_encode.runs import as_options
from tests.stage2_train.caches import config, make_cache, result, write_cache
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.multiword import Multiword
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words
from x2static.stage2_train.joining import JoinedShard, join
from x2static.stage2_train.trainer import train

WORDS = ["a", "b", "c", "d"]
SENTENCES = st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=6)


@settings(max_examples=500, deadline=None)
@given(
    sentences=SENTENCES, entries=st.sets(st.lists(st.integers(-1, 3), min_size=2, max_size=4).map(tuple), max_size=6)
)
def test_words_are_joined_as_a_plain_loop_joins_them(sentences, entries):
    listed = sorted(entries)
    offsets = np.append(0, np.cumsum([len(one) for one in sentences])).astype(np.int64)
    ids = np.array([word for one in sentences for word in one], np.int32)
    new_offsets, new_ids = join(offsets, ids, [np.array(entry) for entry in listed], len(WORDS))
    possible = {tuple(WORDS[word] for word in entry) for entry in listed if -1 not in entry}
    names = [*WORDS, *("_".join(WORDS[word] for word in entry) for entry in listed)]
    found = [[names[word] for word in new_ids[a:b]] for a, b in pairwise(new_offsets)]
    assert found == [plainly([WORDS[word] for word in one], possible) for one in sentences]
    assert new_ids.dtype == np.int32


def test_a_word_that_is_repeated_everywhere_is_joined_in_pairs():
    offsets, ids = np.array([0, 5, 5, 9]), np.zeros(9, np.int32)
    new_offsets, new_ids = join(offsets, ids, [np.array([0, 0])], 1)
    assert (new_offsets.tolist(), new_ids.tolist()) == ([0, 3, 3, 5], [1, 1, 0, 1, 1])


def shard_of(sentences: list[str], dim: int) -> ShardContent:
    """A shard of these sentences, each a paragraph, with random contexts."""
    words = [word for sentence in sentences for word in sentence.split()]
    encoded = pa.array(words, pa.string()).dictionary_encode()
    ids = encoded.indices.to_numpy().astype(np.int32)
    contexts = np.random.default_rng(len(words)).normal(size=(len(sentences), dim)).astype(np.float16)
    offsets = np.append(0, np.cumsum([len(sentence.split()) for sentence in sentences])).astype(np.int32)
    of_rows = {"paragraphs": np.arange(len(sentences), dtype=np.int32), "word_offsets": offsets}
    own = {"word_ids": ids, "lexicon": encoded.dictionary.to_pylist(), "counts": np.bincount(ids)}
    return ShardContent(contexts=contexts, **of_rows, **own, n_paragraphs=len(sentences), n_tokens=len(words))


TEXT = [
    ["in new york city a man", "new york , new york", "the york city new", "york is old in the new_york way"],
    ["los angeles and san francisco", "", "new , york", "san francisco and new york and los angeles"],
]


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    return write_cache(
        tmp_path / "spoken", [shard_of(sentences * 5, 16) for sentences in TEXT], dim=16, rules=default_words()
    )


def listed(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "list.txt").write_text("\n".join(lines))
    return tmp_path / "list.txt"


def trained(spoken: Path, out: Path, **changes: object) -> WordVectors:
    train(config(spoken, out, objective="closed-form", min_count=1, **changes))
    return WordVectors.load(out)


def test_a_joined_shard_counts_what_it_holds(spoken: Path):
    entries = (("new", "york"), ("new", "york", "city"), ("york", "city"), ("nowhere", "at"), ("los", "angeles"))
    for base in Cache.open(spoken).shards():
        shard = JoinedShard.of(base, Multiword(entries))
        lexicon, own = shard.lexicon(), base.lexicon()["word"].to_pylist()
        names = lexicon["word"].to_pylist()
        found = [[names[word] for word in ids] for ids in shard.words()["word_ids"].to_pylist()]
        before = [[own[word] for word in ids] for ids in base.words()["word_ids"].to_pylist()]
        assert found == [plainly(words, set(entries)) for words in before]
        counts = dict.fromkeys(names, 0)
        for word in (word for words in found for word in words):
            counts[word] += 1
        for name in set(names):
            assert (
                sum(n for word, n in zip(names, lexicon["count"].to_pylist(), strict=True) if word == name)
                == (counts[name])
            )
        np.testing.assert_array_equal(shard.contexts(), base.contexts())


def test_entries_are_words_of_the_run_and_its_rules_join_them(spoken: Path, tmp_path: Path):
    vectors = trained(spoken, tmp_path / "run", multiword=listed(tmp_path, "New York", "Los Angeles", "york city"))
    count = dict(zip(vectors.words, vectors.counts.tolist(), strict=True))
    # new york city is new_york city from left to right; the word new_york is the same word.
    assert (count["new_york"], count["los_angeles"], count["york_city"]) == (25, 10, 5)
    assert (count["new"], count["york"], count["city"]) == (10, 10, 5)
    assert not {"los", "angeles"} & count.keys()
    assert vectors.split("A man in New York, Los Angeles") == ["a", "man", "in", "new_york", ",", "los_angeles"]
    np.testing.assert_array_equal(vectors["new york"], vectors["new_york"])
    assert vectors.most_similar("new york") == vectors.most_similar("new_york")
    assert "new_york" not in dict(vectors.most_similar("new york", topn=100))
    assert vectors.rank("new york", "man") == vectors.rank("new_york", "man")
    assert "new york" in vectors
    assert "york new" not in vectors
    with pytest.raises(KeyError, match="'york new' is not among"):
        vectors["york new"]
    expected = (vectors["a"] + vectors["new_york"]) / np.float32(2)
    np.testing.assert_array_equal(vectors.encode("a NEW\tYork"), expected)
    fewer = vectors.rows([row for row, word in enumerate(vectors.words) if word != "new_york"])
    assert fewer.split("new york los angeles") == ["new", "york", "los_angeles"]


def test_what_is_joined_is_learnt_as_if_the_cache_had_it(spoken: Path, tmp_path: Path):
    words = {"new york": "new_york", "los angeles": "los_angeles"}
    joined = [
        [line.replace("new york", "new_york").replace("los angeles", "los_angeles") for line in some] for some in TEXT
    ]
    contents = [shard_of(sentences * 5, 16) for sentences in joined]
    contexts = [shard_of(sentences * 5, 16).contexts for sentences in TEXT]
    contents = [ShardContent(**{**vars(one), "contexts": same}) for one, same in zip(contents, contexts, strict=True)]
    plain = write_cache(tmp_path / "plain", contents, dim=16, rules=default_words())
    for objective in ("closed-form", "negative-sampling"):
        settings = {"objective": objective, "min_count": 1, "epochs": 2}
        train(config(spoken, tmp_path / f"a-{objective}", multiword=listed(tmp_path, *words), **settings))
        train(config(plain, tmp_path / f"b-{objective}", **settings))
        ours, theirs = (WordVectors.load(tmp_path / f"{name}-{objective}") for name in "ab")
        assert ours == theirs


def test_entries_without_a_vector_are_not_joined_and_named(spoken: Path, tmp_path: Path, caplog):
    file = listed(tmp_path, "new york", "new york city", "old in", "york moon", "a man", "los angeles")
    with caplog.at_level(logging.INFO):
        train(config(spoken, tmp_path / "run", objective="closed-form", multiword=file, min_count=6))
    assert "--multiword: 2 of 6 entries are joined" in caplog.text
    assert "of its 6 entries 1 hold a word that the corpus does not have (york moon) and 3 occur fewer" in caplog.text
    vectors = WordVectors.load(tmp_path / "run")
    assert vectors.counts[vectors.index["new_york"]] == 25  # with those of new york city, which is rare
    assert vectors.segmentation.multiword.entries == (("new", "york"), ("los", "angeles"))
    few = trained(spoken, tmp_path / "few", multiword=file, max_vocab=4)
    assert len(few) == 4
    assert all("_".join(entry) in few.index for entry in few.segmentation.multiword.entries)
    none = trained(spoken, tmp_path / "none", multiword=listed(tmp_path, "york moon"))
    assert none == trained(spoken, tmp_path / "plain")
    assert none.segmentation.rules == Cache.open(spoken).segmentation().rules


def test_a_list_of_words_does_not_shut_entries_out(spoken: Path, tmp_path: Path):
    (tmp_path / "words.txt").write_text("man\ncity\n")
    file = listed(tmp_path, "new york")
    assert set(trained(spoken, tmp_path / "run", multiword=file, vocab=tmp_path / "words.txt").words) == {
        "man",
        "city",
        "new_york",
    }


def test_a_run_knows_its_entries_and_runs_without_any_are_as_before(spoken: Path, tmp_path: Path):
    from x2static.durable.storage import read_json

    file = listed(tmp_path, "new york", "los angeles")
    wish = config(spoken, tmp_path / "run", multiword=file, min_count=1)
    train(wish)
    assert (
        WordVectors.load(tmp_path / "run").run["multiword"]
        == read_json(tmp_path / "run" / "settings.json")["multiword"]
    )
    listed(tmp_path, "", "LOS Angeles", "new york")
    assert train(wish)["finished_before"]
    listed(tmp_path, "new york")
    with pytest.raises(X2StaticError, match=r"holds a run with other settings .multiword: "):
        train(wish)
    train(config(spoken, tmp_path / "without", min_count=1))
    assert "multiword" not in read_json(tmp_path / "without" / "settings.json")
    with pytest.raises(X2StaticError, match=r"other words are one there .multiword: .*; give --multiword as it was"):
        train(config(spoken, tmp_path / "more", min_count=1, continue_run=tmp_path / "run"))
    with pytest.raises(X2StaticError, match=r"other words are one there .*; leave out --multiword"):
        train(config(spoken, tmp_path / "more", min_count=1, continue_run=tmp_path / "without", multiword=file))
    listed(tmp_path, "new york", "los angeles")
    train(config(spoken, tmp_path / "more", min_count=1, continue_run=tmp_path / "run", multiword=file))
    assert WordVectors.load(tmp_path / "more").split("new york") == ["new_york"]


@pytest.mark.parametrize(("n", "minutes", "resumed"), [(9, 0, True), (4, 60, False)])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, n: int, minutes: float, resumed: bool):
    cache = make_cache(tmp_path / "cache", shards=2, rules=default_words())
    file = listed(tmp_path, "w00 w01", "w00 w00", "w01 w02 w00")
    whole, wish = (config(cache, tmp_path / name, multiword=file, min_count=5) for name in ("whole", "run"))
    train(whole)
    options = as_options(wish.model_copy(update={"checkpoint_minutes": minutes}))
    learn = "x2static.stage2_train.learner:Learner.learn"
    status, output = shared_forks().run(*options, kill=(learn, "before", n))
    assert status == -signal.SIGKILL, output
    assert train(wish)["resumed"] == resumed
    assert result(wish.out) == result(whole.out)
    names = [(tmp_path / name / "word_segmentation.json").read_bytes() for name in ("whole", "run")]
    assert names[0] == names[1]
    assert "w00_w01" in WordVectors.load(wish.out).index
