"""Model folders as users have them: the unusual ones that work, and those that cannot, refused with the reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from tests.stage1_encode.runs import as_options, assert_same_rows, changed, config_of, run
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache

TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
IMAGE = {**TINY, "image_size": 8, "patch_size": 4}


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


# --- what works ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "gpt2", "mbart"])
def test_a_model_saved_with_its_head_is_read_without_a_word_of_warning(copy_of, forks, corpus, tmp_path, family):
    folder = copy_of(family)
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    assert not architecture.endswith("Model") or architecture == "GPT2LMHeadModel"
    status, output = forks.run(*as_options(config_of(folder, corpus, tmp_path / "cache")))
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


def test_weights_of_half_the_width_are_read_in_float32(copy_of, corpus: Path, tmp_path: Path):
    folder = copy_of("roberta")
    hf.RobertaForMaskedLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    run(folder, corpus, tmp_path / "halves")
    hf.RobertaForMaskedLM.from_pretrained(folder, dtype=torch.float32).save_pretrained(folder)
    run(folder, corpus, tmp_path / "whole")
    assert_same_rows(tmp_path / "halves", tmp_path / "whole")


@pytest.mark.parametrize("below", ["", "0_Transformer"])
def test_of_a_sentence_transformers_folder_the_transformer_is_read_with_its_window(copy_of, corpus, tmp_path, below):
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


def test_code_of_its_own_runs_only_where_allowed_and_is_part_of_the_teacher(copy_of, corpus, tmp_path, refusal):
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


def test_tokens_that_no_text_gives_need_no_embedding_but_under_compat(copy_of, corpus, tmp_path, refusal):
    folder = copy_of("gpt2")
    run(folder, corpus, tmp_path / "before")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    tokenizer.save_pretrained(folder)
    run(folder, corpus, tmp_path / "after")
    assert_same_rows(tmp_path / "after", tmp_path / "before")
    rows = "its tokenizer has ids up to 600, its embedding matrix 600 rows; they are not of one model"
    assert refusal(folder, compat="paper") == f"model {folder}: {rows}"
    tokenizer.add_tokens(["teachers", "garden"])
    tokenizer.save_pretrained(folder)
    assert refusal(folder) == f"model {folder}: {rows.replace('600,', '602,')}"


# --- what does not ---------------------------------------------------------------------------------------------------


def remove(*names: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return do


def write(name: str, content: str, instead: str | None = None) -> Callable[[Path], None]:
    """Write a file, and take another one away."""

    def do(folder: Path) -> None:
        if instead:
            (folder / instead).unlink()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)

    return do


def set_in(file: str, **values: object) -> Callable[[Path], None]:
    return lambda folder: changed(folder, file, **values)


def split_weights(cut_off: bool) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        model = hf.BertForMaskedLM.from_pretrained(folder)
        (folder / "model.safetensors").unlink()
        model.save_pretrained(folder, max_shard_size="40KB")
        last = sorted(folder.glob("model-*.safetensors"))[-1]
        last.write_bytes(last.read_bytes()[:1000]) if cut_off else last.unlink()

    return do


def slow_tokenizer(folder: Path) -> None:
    remove("tokenizer.json", "tokenizer_config.json")(folder)
    hf.ByT5Tokenizer().save_pretrained(folder)


def vit(folder: Path) -> None:
    hf.ViTModel(hf.ViTConfig(**IMAGE)).save_pretrained(folder)


def clip(folder: Path) -> None:
    config = hf.CLIPConfig(text_config={**TINY, "vocab_size": 300}, vision_config=IMAGE)
    hf.CLIPModel(config).save_pretrained(folder)


def pair(folder: Path) -> None:
    bert = hf.BertConfig(vocab_size=300, **TINY)
    decoder = hf.BertConfig(vocab_size=300, **TINY, is_decoder=True, add_cross_attention=True)
    config = hf.EncoderDecoderConfig.from_encoder_decoder_configs(bert, decoder)
    hf.EncoderDecoderModel(config).save_pretrained(folder)


WEIGHTS, CANNOT = "model.safetensors", "it cannot be loaded: "
MODULES, NO_WEIGHTS = "modules.json", "it holds no weights (*.safetensors)"
WORDS = '[{"idx": 0, "path": "0_Words", "type": "sentence_transformers.models.WordEmbeddings"}]'


@pytest.mark.parametrize(
    ("family", "spoil", "reason"),
    [
        ("bert", remove("config.json"), "holds no config.json; it is not a Hugging Face model"),
        ("bert", write("config.json", "{"), "cannot be loaded: "),
        ("bert", write("config.json", '{"model_type": "not-yet-written"}'), "not-yet-written"),
        ("bert", remove(WEIGHTS), NO_WEIGHTS + "; download"),
        ("bert", write("model.gguf", "x", instead=WEIGHTS), NO_WEIGHTS + ", only model.gguf"),
        ("bert", split_weights(cut_off=True), CANNOT),
        ("bert", split_weights(cut_off=False), CANNOT),
        ("bert", set_in("config.json", num_hidden_layers=3), "lack 16 of the model's tensors (encoder.layer.2."),
        ("bert", set_in("config.json", num_hidden_layers=1), "hold 16 tensors of layers that config.json does not"),
        ("bert", set_in("config.json", vocab_size=500), CANNOT),
        ("bert", remove("tokenizer.json", "tokenizer_config.json"), "it has no tokenizer files (tokenizer.json); "),
        ("bert", write("tokenizer.json", '{"model": 3'), "its tokenizer cannot be loaded: "),
        ("bert", slow_tokenizer, "its tokenizer (ByT5Tokenizer) is a slow one, which gives no character offsets"),
        ("deberta-v3", write("spm.model", "x", instead="tokenizer.json"), "pip install sentencepiece protobuf"),
        ("t5", set_in("tokenizer_config.json", model_max_length=1), "it holds 1 pieces, 1 of them special tokens"),
        ("bert", write(MODULES, WORDS, instead="config.json"), ", has no hidden states; it needs a Transformer"),
        ("bert", write(MODULES, "{}", instead="config.json"), "its modules.json is damaged ("),
        ("bert", vit, "ViTModel reads pixel_values, not text"),
        ("bert", clip, "it reads more than text (its config.json has vision_config); name a model of"),
        ("bert", pair, CANNOT + "Unrecognized configuration class"),
    ],
)
def test_a_model_folder_that_cannot_be_read_is_refused_with_the_reason(family, spoil, reason, copy_of, refusal):
    folder = copy_of(family)
    spoil(folder)
    message = refusal(folder)
    assert message.startswith(f"model {folder}: ")
    assert reason in message
