"""Model folders as users have them: the unusual ones that work, and those that cannot, refused with the reason."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from tests.families import make_family
from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import as_options, assert_same_rows, config_of, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache

TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of the tiny teachers; not to be changed."""
    return cache(lambda family: make_family(tmp_path_factory.mktemp(family), family).folder)


@pytest.fixture
def copy_of(made: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda family: Path(shutil.copytree(made(family), tmp_path / "model"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "corpus.txt", paragraphs(3))


@pytest.fixture
def refusal(corpus: Path, tmp_path: Path) -> Callable[..., str]:
    """Encode with a model that is refused; the message, one line, and nothing written."""

    def message(model: Path, **options: object) -> str:
        with pytest.raises(X2StaticError) as caught:
            run(model, corpus, tmp_path / "refused", **options)
        assert not (tmp_path / "refused" / "manifest.json").exists()
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)

    return message


def changed(folder: Path, file: str, **values: object) -> None:
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | values))


# --- what works ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama", "mbart"])
def test_a_model_saved_with_its_head_is_read_without_a_word_of_warning(
    made, forks: Forks, corpus: Path, tmp_path: Path, family: str
):
    (architecture,) = json.loads((made(family) / "config.json").read_text())["architectures"]
    assert not architecture.endswith("Model") or architecture == "GPT2LMHeadModel"
    status, output = forks.run(*as_options(config_of(made(family), corpus, tmp_path / "cache")))
    assert (status, [line for line in output.splitlines() if "arn" in line or "LOAD" in line]) == (0, [])
    assert len(output.splitlines()) <= 4, output


def test_weights_in_several_files_are_the_same_teacher_and_hashed_whole(copy_of, corpus: Path, tmp_path: Path):
    folder = copy_of("bert")
    run(folder, corpus, tmp_path / "one")
    model = hf.BertForMaskedLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-0000?-of-0000?.safetensors"))) > 1
    assert (folder / "model.safetensors.index.json").is_file()
    run(folder, corpus, tmp_path / "several")
    assert_same_rows(tmp_path / "several", tmp_path / "one")
    last = sorted(folder.glob("model-*.safetensors"))[-1]
    tensors = load_file(last)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    save_file(tensors | {name: tensors[name] + 1}, last, metadata={"format": "pt"})
    with pytest.raises(X2StaticError, match=r"made otherwise \(cache != asked for\): weights: "):
        run(folder, corpus, tmp_path / "several")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_the_width_are_read_in_float32(copy_of, corpus: Path, tmp_path: Path, dtype: torch.dtype):
    folder = copy_of("roberta")
    hf.RobertaForMaskedLM.from_pretrained(folder).to(dtype).save_pretrained(folder)
    run(folder, corpus, tmp_path / "halves")
    hf.RobertaForMaskedLM.from_pretrained(folder, dtype=torch.float32).save_pretrained(folder)
    run(folder, corpus, tmp_path / "whole")
    assert_same_rows(tmp_path / "halves", tmp_path / "whole")


@pytest.mark.parametrize("below", ["", "0_Transformer"])
def test_of_a_sentence_transformers_folder_the_transformer_is_read_with_the_window_that_it_holds(
    copy_of, corpus: Path, tmp_path: Path, below: str
):
    folder = copy_of("mpnet")
    run(folder, corpus, tmp_path / "plain")
    bundle = tmp_path / "bundle"
    shutil.copytree(folder, bundle / below)
    (bundle / below / "sentence_bert_config.json").write_text('{"max_seq_length": 8, "do_lower_case": false}')
    (bundle / "1_Pooling").mkdir()
    (bundle / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 32}')
    kinds = [("Transformer", below), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (kind, path) in enumerate(kinds)
    ]
    (bundle / "modules.json").write_text(json.dumps(modules))
    run(bundle, corpus, tmp_path / "cache")
    assert_same_rows(tmp_path / "cache", tmp_path / "plain")
    assert Cache.open(tmp_path / "cache").manifest.encoding == Cache.open(tmp_path / "plain").manifest.encoding


CODE = """\
import torch
from transformers import BertConfig, BertModel


class OwnConfig(BertConfig):
    model_type = "own"


class OwnModel(BertModel):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        outputs.last_hidden_state = -outputs.last_hidden_state
        return outputs
"""


def test_code_of_its_own_runs_only_where_it_is_allowed_and_is_part_of_what_the_teacher_is(
    copy_of, corpus: Path, tmp_path: Path, refusal
):
    folder = copy_of("bert")
    run(folder, corpus, tmp_path / "plain")
    (folder / "modeling_own.py").write_text(CODE)
    auto = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    changed(folder, "config.json", model_type="own", auto_map=auto, architectures=["OwnModel"])
    assert refusal(folder).endswith(
        "needs Python code of its own (modeling_own.py); read it, and if it may run here, allow it with "
        "--trust-remote-code"
    )
    run(folder, corpus, tmp_path / "own", trust_remote_code=True)
    plain, own = (Cache.open(tmp_path / name).shards()[0].contexts() for name in ("plain", "own"))
    assert (plain == -own).all()
    (folder / "modeling_own.py").write_text(CODE + "# changed\n")
    with pytest.raises(X2StaticError, match=r"\(cache != asked for\): teacher_config: "):
        run(folder, corpus, tmp_path / "own", trust_remote_code=True)


def test_tokens_that_no_text_gives_need_no_embedding(copy_of, corpus: Path, tmp_path: Path, refusal):
    folder = copy_of("gpt2")
    run(folder, corpus, tmp_path / "before")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    tokenizer.save_pretrained(folder)
    run(folder, corpus, tmp_path / "after")
    assert_same_rows(tmp_path / "after", tmp_path / "before")


# --- what does not ---------------------------------------------------------------------------------------------------


def test_a_tokenizer_larger_than_the_embedding_matrix_is_refused_with_both_numbers(copy_of, refusal):
    folder = copy_of("gpt2")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == 600
    tokenizer.add_tokens(["teachers", "garden"])
    tokenizer.save_pretrained(folder)
    assert refusal(folder) == (
        f"model {folder}: its tokenizer has ids up to 601, its embedding matrix 600 rows; they are not of one model"
    )


def test_under_compat_special_tokens_need_an_embedding_since_a_text_may_name_them(copy_of, refusal):
    folder = copy_of("gpt2")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    tokenizer.save_pretrained(folder)
    assert "its tokenizer has ids up to 600, its embedding matrix 600 rows" in refusal(folder, compat="paper")


def test_a_slow_tokenizer_is_refused(tmp_path: Path, refusal):
    folder = tmp_path / "slow"
    hf.ByT5Tokenizer().save_pretrained(folder)
    config = hf.T5Config(vocab_size=384, d_model=16, d_kv=8, num_layers=1, num_heads=1)
    hf.T5EncoderModel(config).save_pretrained(folder)
    assert "its tokenizer (ByT5Tokenizer) is a slow one, which gives no character offsets" in refusal(folder)


def test_a_sentencepiece_model_that_cannot_be_converted_is_refused_with_what_to_install(copy_of, refusal):
    folder = copy_of("deberta-v3")
    (folder / "tokenizer.json").unlink()
    (folder / "spm.model").write_bytes(b"\x0a\x0enot a model")
    message = refusal(folder)
    assert "it has no tokenizer.json, and spm.model cannot be converted (" in message
    assert message.endswith("; pip install sentencepiece protobuf, or save the fast tokenizer with it")


def test_a_missing_or_damaged_tokenizer_is_refused(copy_of, refusal):
    folder = copy_of("bert")
    (folder / "tokenizer.json").write_text('{"model": 3')
    assert "its tokenizer cannot be loaded: " in refusal(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "it has no tokenizer files (tokenizer.json); save the tokenizer with it" in refusal(folder)


def with_tokenizer(model: hf.PreTrainedModel, folder: Path, tokenizer: Path) -> Path:
    model.save_pretrained(folder)
    hf.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return folder


def test_a_model_of_images_is_refused(made, tmp_path: Path, refusal):
    model = hf.ViTModel(hf.ViTConfig(**TINY, image_size=8, patch_size=4))
    folder = with_tokenizer(model, tmp_path / "vit", made("bert"))
    assert refusal(folder) == f"model {folder}: ViTModel reads pixel_values, not text"


def test_a_model_of_speech_is_refused(made, tmp_path: Path, refusal):
    sizes = {f"{side}_{what}": 1 for side in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    config = hf.WhisperConfig(vocab_size=700, d_model=16, **sizes, max_source_positions=8, pad_token_id=0)
    folder = with_tokenizer(hf.WhisperModel(config), tmp_path / "whisper", made("llama"))
    assert "WhisperEncoder reads input_features, not text" in refusal(folder)


def test_a_model_of_text_and_images_is_refused(made, tmp_path: Path, refusal):
    vision = {**TINY, "image_size": 8, "patch_size": 4}
    model = hf.CLIPModel(hf.CLIPConfig(text_config={**TINY, "vocab_size": 300}, vision_config=vision))
    folder = with_tokenizer(model, tmp_path / "clip", made("bert"))
    assert "it reads more than text (its config.json has vision_config); name a model of text alone" in refusal(folder)


def test_an_encoder_and_decoder_without_a_base_model_is_refused(made, tmp_path: Path, refusal):
    bert = hf.BertConfig(vocab_size=300, **TINY)
    decoder = hf.BertConfig(vocab_size=300, **TINY, is_decoder=True, add_cross_attention=True)
    model = hf.EncoderDecoderModel(hf.EncoderDecoderConfig.from_encoder_decoder_configs(bert, decoder))
    folder = with_tokenizer(model, tmp_path / "pair", made("bert"))
    assert f"model {folder}: it cannot be loaded: Unrecognized configuration class" in refusal(folder)


def test_a_configuration_that_names_no_architecture_is_refused(copy_of, refusal):
    folder = copy_of("bert")
    (folder / "config.json").write_text('{"num_labels": 2, "classifier_dropout": 0.1}')
    assert refusal(folder).startswith(f"model {folder}: ")
    (folder / "config.json").write_text('{"model_type": "not-yet-written"}')
    assert "not-yet-written" in refusal(folder)
    (folder / "config.json").write_text("{")
    assert refusal(folder).startswith(f"model {folder}: ")
    (folder / "config.json").unlink()
    assert refusal(folder).endswith(f"{folder} holds no config.json; it is not a Hugging Face model")


@pytest.mark.parametrize("name", ["model.gguf", "onnx/model.onnx", "tf_model.h5", None])
def test_weights_that_are_missing_or_of_another_format_are_refused(copy_of, refusal, name: str | None):
    folder = copy_of("bert")
    (folder / "model.safetensors").unlink()
    if name:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    found = f", only {Path(name).name}" if name else ""
    assert refusal(folder) == (
        f"model {folder}: it holds no weights (*.safetensors){found}; download or save the whole model"
    )


def test_a_shard_that_is_missing_or_cut_off_is_refused(copy_of, refusal):
    folder = copy_of("bert")
    model = hf.BertForMaskedLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    last = sorted(folder.glob("model-*.safetensors"))[-1]
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    assert f"model {folder}: it cannot be loaded: " in refusal(folder)
    last.unlink()
    assert f"model {folder}: it cannot be loaded: " in refusal(folder)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("num_hidden_layers", 3, "its weight files lack 16 of the model's tensors (encoder.layer.2.attention."),
        ("num_hidden_layers", 1, "its weight files hold 16 tensors of layers that config.json does not have ("),
        ("intermediate_size", 48, "it cannot be loaded: "),
        ("vocab_size", 500, "it cannot be loaded: "),
    ],
)
def test_weights_of_another_configuration_are_refused(copy_of, refusal, field: str, value: int, reason: str):
    folder = copy_of("bert")
    changed(folder, "config.json", **{field: value})
    assert reason in refusal(folder)


def test_a_folder_of_static_vectors_is_refused(tmp_path: Path, refusal):
    (tmp_path / "static").mkdir()
    module = {"idx": 0, "name": "0", "path": "0_WordEmbeddings", "type": "sentence_transformers.models.WordEmbeddings"}
    (tmp_path / "static" / "modules.json").write_text(json.dumps([module]))
    assert refusal(tmp_path / "static").endswith("WordEmbeddings, which has no hidden states; it needs a Transformer")
    (tmp_path / "static" / "modules.json").write_text("{}")
    assert "its modules.json is damaged (" in refusal(tmp_path / "static")


def test_a_window_without_room_for_text_is_refused(copy_of, refusal):
    folder = copy_of("t5")
    changed(folder, "tokenizer_config.json", model_max_length=1)
    assert "it holds 1 pieces, 1 of them special tokens; there is no room for text" in refusal(folder)
