"""What a context vector is of its states: every `--pooling`, contexts of a few words, and means of layers."""

import shutil
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from tests.baselines.caches import request_of
from tests.reference import Reader, Row, Vector, assert_apart, assert_rows_equal, cut_windows, mean, sentence_bounds
from tests.stage1_encode.conftest import Encode, Readers
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, read_back, run, write_lines
from x2static.baselines.text import write_text
from x2static.durable.errors import X2StaticError
from x2static.pipeline.caches import merge
from x2static.pipeline.cli import run as command_line
from x2static.schemas.cache import Cache
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.training import TrainConfig
from x2static.stage1_encode.plan import planning
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools import contexts
from x2static.stage1_encode.pools.contexts import word_weights
from x2static.stage1_encode.repair import repair
from x2static.stage2_train.trainer import train

TEXTS = [
    *paragraphs(6),
    "The dog sees, and Anna reads it. The; the! Who draws the old city of Rome, and why?",
    "The old dog sees Anna, who reads the open book of Peter in the old city of Rome, and the cat sees the dog and it.",
    "the, the. And the dog.",
]
WEIGHTS = {"the": 0.25, "and": 0.0, "dog": 0.5, ".": 0.125}


@dataclass(frozen=True)
class Piece:
    """A piece of a text, as the teacher reads it."""

    start: int  # first character
    stop: int  # the one behind the last
    sentence: int
    state: Vector  # (dim,)
    is_sink: bool


def read(reader: Reader, text: str) -> list[Piece]:
    """Return the pieces of a paragraph with their states, read a window at a time."""
    encoding, bounds = reader.plain.encode(text, add_special_tokens=False), sentence_bounds(text)
    sentence_of = [next(i for i, (a, b) in enumerate(bounds) if a < stop <= b) for _, stop in encoding.offsets]
    n_pieces, n_begin = Counter(sentence_of), len(reader.teacher.begin)
    pieces: list[Piece] = []
    for window in cut_windows([n_pieces[number] for number in range(len(bounds))], reader.teacher.room):
        first = len(pieces)
        ids = encoding.ids[first : first + len(window)]
        states = reader.states([*reader.teacher.begin, *ids, *reader.teacher.end])
        lengths = [float(np.linalg.norm(state)) for state in states]
        middle = sorted(lengths)[(len(lengths) - 1) // 2]  # of two in the middle the shorter
        for number, sentence in enumerate(window):
            is_sink = lengths[n_begin + number] > contexts.SINK * middle
            pieces.append(Piece(*encoding.offsets[first + number], sentence, states[n_begin + number], is_sink))
    return pieces


def words_of(text: str, rules: WordSegmentation) -> list[tuple[str, int, int]]:
    """Return the words of ASCII text, each with its first character and the one behind it."""
    found, at = [], 0
    for word in rules.split(text):
        at = text.lower().index(word, at)
        found.append((word, at, at + len(word)))
        at += len(word)
    return found


def pooled(pieces: list[Piece], words: list[tuple[str, int, int]], pooling: str) -> Vector:
    """Return what a pooling makes of the states of some pieces."""
    if pooling == "max":
        return np.max([piece.state for piece in pieces], axis=0)
    weights = []
    for piece in pieces:
        weight = 0.0 if piece.is_sink and pooling == "no-sinks" else 1.0
        if pooling in ("sif", "content"):
            of_piece = [word for word, start, stop in words if piece.start < stop and start < piece.stop]
            weight = WEIGHTS.get(of_piece[-1], 1.0) if of_piece else 0.0
            if pooling == "content" and of_piece and not any(character.isalnum() for character in of_piece[-1]):
                weight = 0.0
        weights.append(weight)
    if not any(weights):
        return mean([piece.state for piece in pieces])
    weighted = [weight * piece.state for weight, piece in zip(weights, pieces, strict=True)]
    return sum(weighted, np.zeros_like(pieces[0].state)) / np.float32(sum(weights))


def expected_rows(reader: Reader, texts: list[str], rules: WordSegmentation, pooling: str, n_words: int | None = None):
    rows = []
    for number, text in enumerate(texts):
        pieces, words = read(reader, text), words_of(text, rules)
        for sentence, (begin, end) in enumerate(sentence_bounds(text)):
            inside = [one for one in words if begin <= one[1] < end]
            for start in range(0, len(inside), n_words or len(inside)):
                some = inside[start : start + (n_words or len(inside))]
                mine = [piece for piece in pieces if piece.sentence == sentence]
                if n_words:
                    mine = [piece for piece in pieces if piece.start < some[-1][2] and some[0][1] < piece.stop]
                rows.append(Row(number, [word for word, _, _ in some], pooled(mine, words, pooling)))
    return rows


@pytest.mark.parametrize(
    ("family", "window", "pooling", "n_words"),
    [
        ("bert", 512, "max", None),
        ("roberta", 24, "max", None),
        ("bert", 24, "sif", None),
        ("gpt2", 512, "sif", None),
        ("roberta", 512, "content", None),
        ("bert", 24, "content", 4),
        ("gpt2", 24, "no-sinks", None),
        ("bert", 512, "mean", 1),
        ("roberta", 24, "mean", 3),
        ("gpt2", 24, "max", 10),
    ],
)
def test_contexts_are_those_of_a_computation_a_piece_at_a_time(
    readers: Readers, encode: Encode, monkeypatch, family, window, pooling, n_words
):
    monkeypatch.setattr(contexts, "SINK", 1.05)  # tiny teachers have none; behind a norm all states are of one length
    layer = 1 if pooling == "no-sinks" else 2
    reader = readers(family, window).at(layer)
    counted = {"word_weights": WEIGHTS} if pooling in ("sif", "content") else {}
    encoded = encode(reader, TEXTS, pooling=pooling, context_words=n_words, layer=layer, **counted)
    assert_rows_equal(encoded.rows, expected_rows(reader, TEXTS, encoded.rules, pooling, n_words))
    if pooling != "mean":
        plain = expected_rows(reader, TEXTS, encoded.rules, "mean", n_words)
        assert_apart(encoded.rows[6].vector, plain[6].vector)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_the_mean_of_layers_is_that_of_their_states(readers: Readers, encode: Encode, backend):
    reader = readers("bert")
    encoded = encode(reader, TEXTS, layer="last+0", backend=backend)
    assert encoded.cache.manifest.encoding.layer == "0+last"
    layers = [expected_rows(reader.at(layer), TEXTS, encoded.rules, "mean") for layer in (0, 2)]
    expected = [Row(a.paragraph, a.words, (a.vector + b.vector) / 2) for a, b in zip(*layers, strict=True)]
    assert_rows_equal(encoded.rows, expected)
    assert_apart(encoded.rows[0].vector, layers[1][0].vector)


def test_layers_that_are_not_there_are_refused_and_two_names_of_one_are_one(readers: Readers, encode: Encode):
    assert encode(readers("bert"), TEXTS[:2], layer="-1+2").cache.manifest.encoding.layer == "last"
    with pytest.raises(X2StaticError, match="--layer 7: this teacher has layers 0"):
        encode(readers("bert"), TEXTS[:2], layer="0+7")


def test_words_are_counted_in_the_text_that_a_cache_is_begun_with(readers, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "COUNTED_UNITS", 2)
    texts = paragraphs(12)
    corpus = write_lines(tmp_path / "text.txt", texts)
    run(readers("bert").teacher.folder, corpus, tmp_path / "cache", pooling="sif", unit=3)
    encoding, rules = Cache.open(tmp_path / "cache").manifest.encoding, read_back(tmp_path / "cache").rules
    counts = Counter(word for text in [*texts[:3], *texts[6:9]] for word in rules.split(text))  # every second unit
    total = sum(counts.values())
    weights = {word: 1e-3 / (1e-3 + count / total) for word, count in counts.items()}
    assert encoding.word_weights == {word: pytest.approx(weight, abs=1e-4) for word, weight in weights.items()}


def test_frequent_words_are_stop_words_and_rare_ones_are_not_listed():
    counts = {"the": 50_000, "rare": 3, "some": 900, ".": 40_000, "more": 1_100, "rest": 907_997}
    assert word_weights("content", counts) == {"the": 0.0, ".": 0.0, "more": 0.0, "rest": 0.0}
    assert word_weights("sif", counts) == {
        "the": 0.0196, "some": 0.5263, ".": 0.0244, "more": 0.4762, "rest": 0.0011,
    }  # fmt: skip


SETTINGS = [{"pooling": "sif"}, {"pooling": "max", "context_words": 3}, {"pooling": "content", "layer": "0+last"}]


@pytest.mark.parametrize("options", SETTINGS)
def test_a_resumed_repaired_parted_or_merged_cache_has_the_bytes_of_one_call(options, readers, tmp_path):
    folder, corpus = readers("bert").teacher.folder, write_lines(tmp_path / "text.txt", paragraphs(12))

    def made(name: str, **more: object) -> dict[str, bytes]:
        run(folder, corpus, tmp_path / name, unit=4, **options, **more)
        return files_of(tmp_path / name)

    whole = made("whole")
    for shard in ("000000", "000002"):
        shutil.copytree(tmp_path / "whole", tmp_path / f"without-{shard}")
        shutil.rmtree(tmp_path / f"without-{shard}" / "shards" / shard)
        assert made(f"without-{shard}") == whole, "stopped, and gone on with"
    damaged = tmp_path / "without-000000" / "shards" / "000001" / "contexts" / "c" / "0" / "0"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert repair(tmp_path / "without-000000", Origin(None, (), "cpu", False))["shards_encoded"] == 1
    assert files_of(tmp_path / "without-000000") == whole
    for part in ("1/2", "2/2"):
        made(part[0], part=part)
    merge(tmp_path / "merged", [tmp_path / "1", tmp_path / "2"])
    assert files_of(tmp_path / "merged") == whole
    more = write_lines(tmp_path / "more.txt", paragraphs(4, seed=1))
    run(folder, more, tmp_path / "merged", append=True, **options)
    grown = files_of(tmp_path / "merged")
    assert {name: grown[name] for name in whole} == whole, "words weigh what they did"
    assert Cache.open(tmp_path / "merged").verify() == []


def test_caches_of_two_poolings_are_neither_merged_nor_gone_on_with(readers, tmp_path):
    folder, first = readers("bert").teacher.folder, write_lines(tmp_path / "a.txt", paragraphs(3))
    second = write_lines(tmp_path / "b.txt", paragraphs(3, seed=1))
    run(folder, first, tmp_path / "sif", pooling="sif")
    run(folder, second, tmp_path / "mean", context_words=2)
    with pytest.raises(X2StaticError, match=r"pooling: '\w+' != '\w+'; context_words: .*word_weights: .* entries"):
        merge(tmp_path / "both", [tmp_path / "sif", tmp_path / "mean"])
    with pytest.raises(X2StaticError, match=r"pooling: 'sif' != 'max'; word_weights: \d+ entries != \{\}"):
        run(folder, first, tmp_path / "sif", pooling="max")


@pytest.mark.parametrize("option", ["--pooling max", "--context-words 3"])
def test_the_papers_mode_takes_means_over_sentences(option, readers, tmp_path, capsys):
    corpus = write_lines(tmp_path / "text.txt", paragraphs(3))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", compat="paper")
    assert command_line([*as_options(config), *option.split()]) == 2
    assert "--compat paper takes means over sentences; leave one of the two out" in capsys.readouterr().err


def test_the_whole_road_with_contexts_of_two_words(readers, tmp_path, capsys):
    corpus = write_lines(tmp_path / "text.txt", paragraphs(40))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", pooling="sif", context_words=2)
    planned = estimate(config)
    assert command_line(as_options(config)) == 0
    shutil.rmtree(tmp_path / "cache" / "phrases")
    cache = Cache.open(tmp_path / "cache")
    rows = read_back(tmp_path / "cache").words
    assert max(map(len, rows)) == 2
    assert planned["sentences"] == len(rows)
    held = sum(len(content) for name, content in files_of(cache.path).items() if "/contexts/" in name)
    assert held < planned["cache_bytes"] < 1.5 * held
    capsys.readouterr()
    assert command_line(["cache", "info", str(cache.path)]) == 0
    assert "context     paragraph, 2 words each, pooling sif" in capsys.readouterr().out
    assert command_line(["train", "--cache", str(cache.path), "--out", str(tmp_path / "run")]) == 0
    settings = {"cache": cache.path, "batch_size": 8, "init": "closed-form"}
    for objective, steps in (
        ("negative-sampling", 5),
        ("closed-form", 0),
        ("sentence", 5),
    ):  # batches are of paragraphs
        figures = train(TrainConfig(out=tmp_path / objective, objective=objective, **settings))
        assert figures["steps"] == steps, objective
    entries = write_lines(tmp_path / "entries.txt", ["the dog"])
    with pytest.raises(X2StaticError, match=r"its contexts have 2 words each .* leave out --multiword"):
        train(TrainConfig(out=tmp_path / "joined", multiword=entries, **settings))
    counts = Counter(word for words in rows for word in words)
    text = write_text(request_of(tmp_path, cache.path, counts))
    split = read_back(cache.path).rules.split
    assert text.file.read_text().splitlines() == [" ".join(split(text)) for text in paragraphs(40)]
