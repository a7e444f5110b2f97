"""What is hashed is what runs: pieces are those of tokenizer.json, whatever else the folder says, or it is refused."""

import json
import random
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.stage1_encode.runs import changed, run, write_lines
from tests.teachers import SCRIPTS
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.stage1_encode.text.tokenizer import TeacherTokenizer

TEXTS = (
    "The old Cat sees 1234 CAFÉS, don't e\u0301t it; In 2029 Anna   reads\ta book...",
    " of Berlin \U0001f469\u200d\U0001f467 \ufb01ne ΟΔΟΣ İstanbul",
    *SCRIPTS,
    "ab" * 90,
    "",
)


def of(kind: str, **options: Any) -> dict[str, Any]:
    return {"type": kind, **options}


BERT = {"clean_text": True, "handle_chinese_chars": True}
LEVEL = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPLIT = {"pattern": {"Regex": r"\p{N}{1,3}|\s+"}, "behavior": "Isolated", "invert": False}
FIXED = {"direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}


def around(begin: int, end: int) -> dict[str, Any]:
    """Return a template that puts [CLS] and [SEP] around a text, with these ids."""
    pieces = [{"SpecialToken": of_type("[CLS]")}, {"Sequence": of_type("A")}, {"SpecialToken": of_type("[SEP]")}]
    special = {name: {"id": name, "ids": [id_], "tokens": [name]} for name, id_ in (("[CLS]", begin), ("[SEP]", end))}
    return of("TemplateProcessing", single=pieces, pair=[*pieces, {"Sequence": of_type("B")}], special_tokens=special)


def of_type(name: str) -> dict[str, Any]:
    return {"id": name, "type_id": 0}


# What tokenizer.json may say, by the part that says it.
PARTS: dict[str, list[Any]] = {
    "normalizer": [
        None,
        of("BertNormalizer", lowercase=False, strip_accents=None, **BERT),
        of("BertNormalizer", lowercase=True, strip_accents=False, **BERT),
        of("Sequence", normalizers=[of("NFD"), of("StripAccents"), of("Lowercase")]),
        of("NFKC"),
        of("Replace", pattern={"String": "e"}, content="a"),
        of("Prepend", prepend="the "),
    ],
    "pre_tokenizer": [
        None,
        of("WhitespaceSplit"),
        of("Whitespace"),
        of("Digits", individual_digits=True),
        of("Punctuation", behavior="Isolated"),
        of("Split", **SPLIT),
        of("Sequence", pretokenizers=[of("WhitespaceSplit"), of("Digits", individual_digits=False)]),
    ],
    "post_processor": [
        None,
        around(2, 3),
        around(101, 102),
        of("BertProcessing", sep=["[SEP]", 102], cls=["[CLS]", 2]),
        of("RobertaProcessing", sep=["[SEP]", 3], cls=["[CLS]", 101], trim_offsets=True, add_prefix_space=False),
        of("Sequence", processors=[of("ByteLevel", **LEVEL), around(101, 102)]),
        of("BertProcessing", sep=["</s>", 2], cls=["<s>", 0]),
    ],
    "truncation": [{"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}],
    "padding": [{"strategy": {"Fixed": 64}, **FIXED}],
}
SINGLE = [{part: value} for part, values in PARTS.items() for value in values]
CLASSES = ("BertTokenizer", "RobertaTokenizer", "GPT2Tokenizer", "PreTrainedTokenizerFast", None)
drawn = random.Random(0)
MIXED = [
    {part: drawn.choice(values) for part, values in PARTS.items()}
    | {"class": drawn.choice(CLASSES), "do_lower_case": drawn.choice([True, False])}
    for _ in range(12)
]
NAMED = [{"class": kind, "do_lower_case": lower} for kind, lower in product(CLASSES, (True, False))]


@pytest.mark.parametrize("settings", [*SINGLE, *NAMED, *MIXED], ids=str)
def test_pieces_are_those_of_tokenizer_json_alone_or_the_folder_is_refused(settings, copy_of):
    folder = copy_of("bert")
    settings = dict(settings)
    kind, lower = settings.pop("class", "BertTokenizer"), settings.pop("do_lower_case", True)
    changed(folder, "tokenizer_config.json", tokenizer_class=kind, do_lower_case=lower)
    changed(folder, "tokenizer.json", **settings)
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    alone.no_truncation()
    alone.no_padding()
    try:
        ours = TeacherTokenizer.load(folder, False)
    except X2StaticError as error:
        assert str(error).startswith(f"model {folder}: its tokenizer")
        assert "[CLS]" not in json.dumps(settings) or "<s>" in str(error), "ids of another vocabulary are mended"
        return
    check_pieces(ours, alone)
    bare, whole = (alone.encode("a", add_special_tokens=special).tokens for special in (False, True))
    names = {2: "[CLS]", 3: "[SEP]"}
    assert [names[piece] for piece in (*ours.prefix, *ours.suffix)] == (["[CLS]", "[SEP]"] if whole != bare else [])


def check_pieces(ours: TeacherTokenizer, alone: Tokenizer) -> None:
    for text, (ids, places) in zip(TEXTS, ours.encode(list(TEXTS)), strict=True):
        wanted = alone.encode(text, add_special_tokens=False)
        assert ids.tolist() == wanted.ids
        assert list(map(tuple, places.tolist())) == wanted.offsets


@pytest.mark.parametrize("family", ["gpt2", "xlm-roberta", "llama", "t5", "modernbert"])
@pytest.mark.parametrize("kind", [*CLASSES, "T5Tokenizer", "LlamaTokenizer"])
def test_whatever_class_is_named_the_file_decides(family, kind, copy_of):
    folder = copy_of(family)
    changed(folder, "tokenizer_config.json", tokenizer_class=kind)
    try:
        ours = TeacherTokenizer.load(folder, False)
    except X2StaticError as error:
        assert f"({kind} by tokenizer_config.json) cannot be loaded: " in str(error)
        return
    check_pieces(ours, Tokenizer.from_file(str(folder / "tokenizer.json")))


def test_an_overruled_tokenizer_is_said_and_another_encoding(copy_of, corpus, tmp_path, log):
    folder = copy_of("bert")
    run(folder, corpus, tmp_path / "plain")
    changed(folder, "tokenizer.json", pre_tokenizer=of("WhitespaceSplit"), normalizer=None)
    run(folder, corpus, tmp_path / "followed")
    assert "asks transformers for other pieces than tokenizer.json" in log.text
    plain, followed = (Cache.open(tmp_path / name).manifest.encoding for name in ("plain", "followed"))
    assert (plain.tokenizer_changes, followed.tokenizer_changes) == ("", "tokenizer.json")
    same = plain.model_copy(update={"tokenizer_changes": "tokenizer.json"})
    assert same.fingerprint != plain.fingerprint


def test_a_bpe_with_dropout_cuts_as_without(copy_of, log):
    folder = copy_of("gpt2")
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    changed(folder, "tokenizer.json", model=json.loads(alone.to_str())["model"] | {"dropout": 0.5})
    for _ in range(2):
        ours = TeacherTokenizer.load(folder, False)
        check_pieces(ours, alone)
    assert "its tokenizer.json cuts text by chance (dropout 0.5); this is switched off" in log.text


def test_special_tokens_with_ids_of_another_vocabulary_go_by_their_names_and_it_is_said(copy_of, log):
    folder = copy_of("bert")
    changed(folder, "tokenizer.json", post_processor=around(101, 102))
    ours = TeacherTokenizer.load(folder, False)
    assert (ours.prefix, ours.suffix) == ((2,), (3,))
    assert "by their names, [CLS] is 2 and not 101, [SEP] is 3 and not 102" in log.text


@pytest.mark.parametrize("lower", [True, False])
def test_contexts_are_the_means_of_sentence_transformers_own_states(lower, copy_of, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    folder = copy_of("bert")
    normal = of("BertNormalizer", lowercase=False, strip_accents=False, **BERT)
    changed(folder, "tokenizer.json", normalizer=normal)
    changed(folder, "tokenizer_config.json", do_lower_case=False, strip_accents=False)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": lower}))
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    (folder / "modules.json").write_text(json.dumps([module]))
    texts = ["The old Cat sees THE dog.", "ANNA reads a Book in 2029!"]
    run(folder, write_lines(tmp_path / "texts.txt", texts), tmp_path / "cache", context="sentence")
    cache = Cache.open(tmp_path / "cache")
    states = library.SentenceTransformer(str(folder), device="cpu").encode(texts, output_value="token_embeddings")
    wanted = np.stack([one[1:-1].float().numpy().mean(axis=0) for one in states])
    assert np.allclose(cache.shards()[0].contexts(), wanted, atol=2e-3)
    assert cache.manifest.encoding.tokenizer_changes == ("lower case" if lower else "")


def vocabulary(**model: Any) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        rules = json.loads((folder / "tokenizer.json").read_text())
        changed(folder, "tokenizer.json", model=rules["model"] | model)

    return do


def file(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


CHARSMAP = of("Precompiled", precompiled_charsmap="AAAA////")
MUCH = of("Replace", pattern={"Regex": "[a-z]"}, content="x" * 20_000)
NOTHING = of("Replace", pattern={"Regex": "."}, content="")
TWICE = [{"SpecialToken": of_type("[CLS]")}, {"Sequence": of_type("A")}, {"Sequence": of_type("A")}]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (vocabulary(vocab={}), "its tokenizer.json cannot be loaded: WordPiece error"),
        (vocabulary(vocab={"[UNK]": 1}), "its tokenizer.json "),
        (lambda folder: changed(folder, "tokenizer.json", normalizer=CHARSMAP), "tokenizer.json cannot be loaded: Pre"),
        (lambda folder: changed(folder, "tokenizer.json", normalizer=MUCH), "tokenizer.json makes "),
        (lambda folder: changed(folder, "tokenizer.json", normalizer=NOTHING), "cuts every text into no pieces"),
        (
            lambda folder: changed(folder, "tokenizer.json", post_processor=around(2, 3) | {"single": TWICE}),
            "the post_processor of its tokenizer.json does not put special tokens around a text: its template",
        ),
        (
            lambda folder: changed(folder, "tokenizer.json", post_processor=around(2, 3) | {"special_tokens": {}}),
            "its tokenizer.json ",
        ),
        (file("tokenizer.json", b"\xff{}"), "its tokenizer.json cannot be loaded: "),
        (file("tokenizer.json", b"[" * 10_000), "its tokenizer.json cannot be loaded: "),
        (file("tokenizer_config.json", b"[" * 100_000), "its tokenizer_config.json cannot be loaded: "),
        (file("tokenizer_config.json", b"\xff{}"), "its tokenizer_config.json cannot be loaded: "),
        (
            file("tokenizer_config.json", b'{"model_max_length": "many"}'),
            "model_max_length in tokenizer_config.json is",
        ),
        (file("special_tokens_map.json", b"[]"), "its special_tokens_map.json cannot be loaded: a JSON object is exp"),
    ],
)
def test_a_damaged_tokenizer_is_one_line_with_folder_and_file_and_no_report_of_rust(spoil, reason, copy_of, capfd):
    folder = copy_of("bert")
    spoil(folder)
    with pytest.raises(X2StaticError) as caught:
        TeacherTokenizer.load(folder, False)
    assert str(caught.value).startswith(f"model {folder}: ")
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "panicked" not in capfd.readouterr().err


def test_a_sentence_transformers_folder_names_where_its_transformer_is(copy_of, corpus, tmp_path, log):
    folder = copy_of("bert")
    shutil.copytree(folder, folder / "0_Transformer")
    changed(folder, "config.json", model_type="not-this-one")
    kinds = [("Transformer", "0_Transformer"), ("LSTM", "1_LSTM"), ("Pooling", "2_Pooling")]
    (folder / "modules.json").write_text(json.dumps([{"path": path, "type": f"x.{kind}"} for kind, path in kinds]))
    run(folder, corpus, tmp_path / "cache")
    assert "modules.json changes the states by LSTM" in log.text
