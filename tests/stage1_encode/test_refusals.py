"""Model folders as users have them: the unusual ones that work, and those that cannot, refused with the reason."""

import json
import os
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
from x2static.stage1_encode.teacher.files import TeacherFiles

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
    status, output = forks.run(*as_options(config_of(folder, corpus, tmp_path / "cache")), "--no-word-states")
    assert (status, [line for line in output.splitlines() if "arn" in line or "LOAD" in line]) == (0, [])
    assert len(output.splitlines()) <= 5, output


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
        (
            "bert",
            set_in("config.json", vocab_size=500),
            CANNOT + "config.json asks for embeddings.word_embeddings.weight",
        ),
        ("bert", remove("tokenizer.json", "tokenizer_config.json"), "it has no tokenizer files (tokenizer.json); "),
        ("bert", write("tokenizer.json", '{"model": 3'), "its tokenizer.json cannot be loaded: "),
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


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make something else where a file of a model's folder is, or would be."""

    def do(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return do


def tensor(name: str, dtype: torch.dtype = torch.float32) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS) | {name: torch.ones(2, 2).to(dtype)}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return do


def other_weights(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")
    (folder / WEIGHTS).rename(folder / "other.safetensors")


def index(where: object) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "x.safetensors")
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a.weight": where}}))

    return do


FILES = (
    "config.json",
    WEIGHTS,
    "tokenizer.json",
    "special_tokens_map.json",
    MODULES,
    f"{WEIGHTS}.index.json",
    "own.py",
)
NO_FILES: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to(path.name),
}
SIZES = "hidden_size num_hidden_layers num_attention_heads vocab_size max_position_embeddings intermediate_size".split()
ABSURD = {"many": "a whole number", True: "a whole number", 1.5: "a whole number", 10**12: "cannot be of such a model"}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_and_never_waited_for(name, kind, copy_of):
    folder = copy_of("bert")
    instead(name, NO_FILES[kind])(folder)
    with pytest.raises(X2StaticError, match=rf"{name} is {kind}; it has|holds no config.json|modules.json is damaged"):
        TeacherFiles.find(str(folder), None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [*ABSURD, 0, -1], ids=str)
def test_a_size_that_cannot_be_is_refused_before_memory_is_asked_for(size, value, copy_of, refusal):
    folder = copy_of("bert")
    changed(folder, "config.json", **{size: value})
    message = refusal(folder)
    assert message.startswith(f"model {folder}: ")
    if value in ABSURD:
        assert message.endswith(ABSURD[value] + (" is expected" if "number" in ABSURD[value] else ""))
        assert f"config.json says {size} {value}; " in message


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (write("adapter_config.json", "{}"), "it has an adapter (adapter_config.json), which x2static does not apply"),
        (write("adapter_model.safetensors", ""), "it has an adapter (adapter_model.safetensors)"),
        (
            set_in("config.json", quantization_config={"quant_method": "gptq"}),
            "it is quantised (quantization_config in",
        ),
        (set_in("config.json", transformers_weights="../x.safetensors"), "takes the weights from '../x.safetensors'"),
        (tensor("bert.encoder.layer.0.output.dense.weight", torch.int8), "weight as I8: it is quantised"),
        (index("../x.safetensors"), "takes a.weight from '../x.safetensors', not from its folder"),
        (index(5), "takes a.weight from 5, not from its folder"),
        (other_weights, "it has other.safetensors, but neither model.safetensors nor model.safetensors.index.json"),
        (write("config.json", "[]"), "config.json cannot be loaded: a JSON object is expected, not a list"),
        (write("config.json", "[" * 100_000), "config.json cannot be loaded: "),
        (write(MODULES, '[{"path": "../..", "type": "x.Transformer"}]'), "has the Transformer in ../.., outside of"),
        (write("sentence_bert_config.json", '{"config_args": {"num_hidden_layers": 1}}'), "config_args.num_hidden_lay"),
    ],
)
def test_parts_that_are_not_applied_are_refused_before_anything_is_loaded(spoil, reason, copy_of):
    folder = copy_of("bert")
    spoil(folder)
    with pytest.raises(X2StaticError) as caught:
        TeacherFiles.find(str(folder), None)
    assert str(caught.value).startswith(f"model {folder}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["attention.self.query.lora_A.weight", "attention.self.query.weight_scale"])
def test_tensors_of_an_adapter_beside_the_models_own_are_refused(name, copy_of, refusal):
    folder = copy_of("bert")
    tensor(f"bert.encoder.layer.0.{name}")(folder)
    assert "hold 1 tensors of an adapter or a quantisation" in refusal(folder)


def test_code_that_a_known_type_names_is_not_passed_over(copy_of, refusal):
    folder = copy_of("bert")
    changed(folder, "config.json", auto_map={"AutoModel": "modeling_own.OwnModel"})
    assert "needs Python code of its own (auto_map in config.json)" in refusal(folder)


RANDOM = "torch.nn.functional.dropout(outputs.last_hidden_state, 0.1, training=True)"


def test_states_that_chance_changes_or_that_are_zero_are_refused(copy_of, refusal):
    folder = copy_of("bert")
    (folder / "modeling_own.py").write_text(CODE.replace("-outputs.last_hidden_state", RANDOM))
    auto = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    changed(folder, "config.json", model_type="own", auto_map=auto, architectures=["OwnModel"])
    assert "gives other states each time" in refusal(folder, trust_remote_code=True)
    (folder / "modeling_own.py").write_text(CODE.replace("-outputs.last_hidden_state", "0 * outputs.last_hidden_state"))
    assert "its states are all zero" in refusal(folder, trust_remote_code=True)
