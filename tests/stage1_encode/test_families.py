"""Every family of tests/teachers.py through stage one, held to an unbatched computation (tests/reference.py)."""

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from transformers import BertModel

from tests.reference import Reader, assert_apart, assert_close, assert_rows_equal, cosine, default_rows
from tests.stage1_encode.conftest import Encode, Readers
from tests.stage1_encode.runs import as_options, changed, config_of, files_of, prose, run, write_lines
from tests.teachers import EVERY_FAMILY, WINDOW
from x2static.durable.errors import X2StaticError
from x2static.pipeline.cli import run as command_line
from x2static.schemas.cache import Cache
from x2static.stage1_encode.teacher import model as teacher_model
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.model import MAX_WINDOW, held_window, load_model
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.text.windows import Window

QUICK = ("bert", "roberta", "gpt2", "mpnet")  # all others are exhaustive


def each_once(names: Iterable[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "family", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.exhaustive]) for name in names]
    )


families = each_once(EVERY_FAMILY)


@pytest.fixture
def reader(readers: Readers, family: str) -> Reader:
    return readers(family, WINDOW)


PARAGRAPHS = [
    *(prose(seed, 1 + seed) for seed in range(4)),
    "One",
    prose(5, 24),
    "The " + "a" * 90 + " is long, and " + "teachers " * 70 + ". Then it ends.",
    "안녕하세요. 저는 학생입니다. 한국어와 English 섞기. مرحبا بالعالم. كيف حالك؟ 日本語の文章。次の文。",
    "naïve café déjà vu! Straße und Größe?  Two   spaces\there,     and five. e\u0301a\u0308 ẞ ﬁ ½.",
    "A </s> ends. <s> begins<s>. [SEP] and [CLS][PAD]. <pad> fills, <mask> and [MASK] hide. <unk>? [UNK]!",
    "<|endoftext|> first. <eos> or <bos>, <extra_id_7> is en_XX. <think>aloud</think> <|padding|>. <0x41>!",
    "👩‍👩‍👧‍👦 laughs. 🎉 Yes! \u200b\u200d. nul\x00char. \ufffd\U0010ffff \uffff last.",
]


@pytest.mark.parametrize("context", ["paragraph", pytest.param("sentence", marks=pytest.mark.exhaustive)])
@families
def test_every_family_is_read_as_an_unbatched_computation_reads_it(reader: Reader, encode: Encode, context: str):
    encoded = encode(reader, PARAGRAPHS, context=context)
    expected = default_rows(reader, PARAGRAPHS, encoded.rules, context)
    assert len(expected) > 60
    assert_rows_equal(encoded.rows, expected)


@each_once(name for name, family in EVERY_FAMILY.items() if family.bfloat16)
def test_bfloat16_keeps_the_direction(reader: Reader, encode: Encode):
    encoded = encode(reader, PARAGRAPHS, precision="bfloat16")
    expected = default_rows(reader, PARAGRAPHS, encoded.rules, "paragraph")
    pairs = list(zip(encoded.rows, expected, strict=True))
    assert min(cosine(row.vector, other.vector) for row, other in pairs) >= 0.999
    assert max(np.abs(row.vector - other.vector).max() for row, other in pairs) > 2e-3, "it ran in bfloat16"


# --- the window ------------------------------------------------------------------------------------------------------


def loaded(folder: Path, layer: int | Literal["last"] = "last") -> Teacher:
    return Teacher(TeacherFiles.find(str(folder), None), "float32", torch.device("cpu"), False, layer)


# Learnt positions end somewhere; relative and rotary ones do not.
TABLES = "bert roberta xlm-roberta mpnet gpt2 gpt2-large distilbert albert electra bart mbart opt".split()


@families
def test_the_window_is_what_the_family_holds(reader: Reader, family: str):
    assert loaded(reader.teacher.folder).window == WINDOW
    one_more = torch.full((1, WINDOW + 1), 5)
    with torch.no_grad(), pytest.raises((IndexError, RuntimeError)) if family in TABLES else nullcontext():
        reader.model(input_ids=one_more)


CLAIMS = {("roberta", 60): 60, ("roberta", 1000): 64, ("llama", 1000): 64, ("t5", 1000): 1000, ("t5", 10**30): 512}


@pytest.mark.parametrize(("family", "claim"), CLAIMS)
def test_the_tokenizers_limit_counts_where_it_is_the_smaller_one(copy_of, family: str, claim: int):
    folder = copy_of(family)
    changed(folder, "tokenizer_config.json", model_max_length=claim)
    assert loaded(folder).window == CLAIMS[family, claim]


def test_rotary_positions_are_believed_without_a_try_up_to_the_largest_window(copy_of, monkeypatch):
    folder = copy_of("llama")
    changed(folder, "config.json", max_position_embeddings=131_072)
    monkeypatch.setattr(teacher_model, "_holds", lambda *_: pytest.fail("tried"))
    assert loaded(folder).window == MAX_WINDOW


@pytest.mark.parametrize("family", ["bert", "gpt2", "deberta-v3", "bart", "t5"])
def test_trying_a_length_runs_no_more_than_the_first_block(reader: Reader):
    model = load_model(reader.teacher.folder, torch.float32, trust_remote_code=False)
    blocks = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    ran = []
    hooks = [block.register_forward_hook(lambda *_, at=at: ran.append(at)) for at, block in enumerate(blocks)]
    assert held_window(model, WINDOW, padding=1) == WINDOW
    assert set(ran) == {0}
    for hook in hooks:
        hook.remove()
    assert model(input_ids=torch.full((1, 3), 5)).last_hidden_state.isfinite().all(), "nothing stops it afterwards"


# --- layers ----------------------------------------------------------------------------------------------------------


@families
def test_a_layer_is_averaged_as_the_last_one_is(reader: Reader, encode: Encode, family: str):
    number = EVERY_FAMILY[family].layers - 1
    encoded = encode(reader, PARAGRAPHS[:6], layer=number)
    assert encoded.cache.manifest.encoding.layer == str(number)
    assert_rows_equal(encoded.rows, default_rows(reader.at(number), PARAGRAPHS[:6], encoded.rules, "paragraph"))
    (embeddings,) = encode(reader, PARAGRAPHS[:1], layer=0).rows
    (expected,) = default_rows(reader.at(0), PARAGRAPHS[:1], encoded.rules, "paragraph")
    assert_close(embeddings.vector, expected.vector)
    if len(embeddings.vector) == len(encoded.rows[0].vector):
        assert_apart(embeddings.vector, encoded.rows[0].vector.astype(np.float32))


@pytest.mark.parametrize("family", ["bert", "gpt2", "deberta-v3", "bart", "t5"])
def test_layers_above_the_wanted_one_never_run(reader: Reader, family: str):
    teacher, above = loaded(reader.teacher.folder, 1), EVERY_FAMILY[family].layers - 1
    lists = (module for module in teacher._model.modules() if isinstance(module, torch.nn.ModuleList))
    blocks, ran = next(blocks for blocks in lists if len(blocks) == above + 1), []
    for number, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    batch = [Window(np.arange(3, 9), np.zeros((0, 3), np.int64))]
    states = teacher.states(batch)
    assert ran == [0]
    assert torch.equal(states, teacher.layers(batch)[1])
    assert ran == [0, *range(above + 1)], "all of them run where all are wanted"


@families
def test_every_layer_of_a_batch_is_given_and_the_last_is_the_models_last(reader: Reader, family: str):
    teacher = loaded(reader.teacher.folder)
    pieces = [teacher.tokenizer.with_special(next(teacher.tokenizer.encode([text]))[0]) for text in PARAGRAPHS[:3]]
    batch = [Window(ids[:60], np.zeros((0, 3), np.int64)) for ids in pieces]
    layers = teacher.layers(batch)
    assert teacher.n_layers == EVERY_FAMILY[family].layers == len(layers) - 1
    assert torch.equal(layers[-1], teacher.states(batch))
    for number, states in enumerate(layers):
        for row, window in enumerate(batch):
            expected = reader.at(number).states(window.pieces.tolist())
            np.testing.assert_allclose(states[row, : len(window.pieces)].numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("layer", "name"), [(-1, "last"), (2, "last"), (-2, "1"), (0, "0")])
def test_a_layer_has_one_name_and_its_cache_goes_on_under_all(readers: Readers, tmp_path: Path, layer, name: str):
    folder = readers("bert").teacher.folder
    corpus = write_lines(tmp_path / "corpus.txt", PARAGRAPHS[:2])
    run(folder, corpus, tmp_path / "cache", layer=layer)
    assert Cache.open(tmp_path / "cache").manifest.encoding.layer == name
    before = files_of(tmp_path / "cache")
    assert run(folder, corpus, tmp_path / "cache", layer=name)["shards_resumed"] == 1
    assert files_of(tmp_path / "cache") == before
    other = "0" if name != "0" else "last"
    with pytest.raises(X2StaticError, match=rf"made otherwise \(cache != asked for\): layer: '{name}' != '{other}'"):
        run(folder, corpus, tmp_path / "cache", layer=other)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(readers: Readers, tmp_path: Path, layer: int):
    corpus = write_lines(tmp_path / "corpus.txt", PARAGRAPHS[:2])
    with pytest.raises(X2StaticError, match=rf"^--layer {layer}: .*layers 0 .* to 2 .*, or -3 to -1"):
        run(readers("bert").teacher.folder, corpus, tmp_path / "cache", layer=layer)
    assert not (tmp_path / "cache" / "manifest.json").exists()


def test_inner_layers_are_asked_for_only_where_they_are_needed(readers: Readers, monkeypatch):
    folder = readers("bert").teacher.folder
    asked = []
    forward = BertModel.forward

    def watched(self, *args, **kwargs):
        asked.append(bool(kwargs.get("output_hidden_states")))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(BertModel, "forward", watched)
    batch = [Window(np.array([2, 7, 3]), np.zeros((0, 3), np.int64))]
    teacher = loaded(folder)
    teacher.states(batch)
    assert not any(asked)
    inner = loaded(folder, 1)
    asked.clear()
    inner.states(batch)
    assert asked == [False], "it stops where they are"
    inner.layers(batch)
    assert asked == [False, True]


def test_the_command_line_takes_a_layer_and_says_what_is_none(readers, tmp_path, capsys):
    corpus = write_lines(tmp_path / "corpus.txt", PARAGRAPHS[:2])
    options = as_options(config_of(readers("roberta").teacher.folder, corpus, tmp_path / "cache"))
    assert command_line([*options, "--layer", "first"]) == 2
    assert "--layer first" in capsys.readouterr().err
    assert command_line([*options, "--layer", "-2"]) == 0
    assert Cache.open(tmp_path / "cache").manifest.encoding.layer == "1"
