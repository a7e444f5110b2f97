"""What a model's folder must not hold, seen before any library opens its files: each is refused in one line."""

import json
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.text.tokenizer import TOKENIZER_FILES
from x2static.stage1_encode.text.tokenizer_rules import json_object, sentence_settings

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # the first of which a model has any
WHOLE = ("model.safetensors", "pytorch_model.bin")  # what transformers looks for, or for their indexes
READ = ("*.json", "*.py", *WEIGHTS, *TOKENIZER_FILES)  # what libraries open
KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}

# Sizes by the names that families have for them; the width comes first, those of LIMITS may be 0 or -1.
WIDTHS = "hidden_size d_model n_embd dim".split()
SIZES = (
    "vocab_size embedding_size num_attention_heads n_head n_heads num_heads d_ff d_kv intermediate_size hidden_dim "
    "head_dim encoder_attention_heads encoder_ffn_dim num_key_value_heads"
).split()
LIMITS = "max_position_embeddings n_positions n_ctx max_seq_len type_vocab_size max_relative_positions".split()
LAYERS = "num_hidden_layers n_layer n_layers num_layers encoder_layers".split()
MOST_LAYERS = 256  # the deepest models have half as many
# Numbers in a matrix that no model is refused for, however small its weights: rotary positions need none.
ANY_MATRIX = 1 << 26
FLOATS = ("F64", "F32", "F16", "BF16")

# What sentence-transformers gives to transformers, and no vector depends on.
HARMLESS = (
    "torch_dtype dtype attn_implementation trust_remote_code model_max_length padding_side use_fast add_pooling_layer "
    "local_files_only low_cpu_mem_usage device_map use_safetensors use_cache unpad_inputs"
).split()


def check_folder(folder: Path) -> None:
    """Refuse a folder with what is no file, with parts that x2static does not apply, or with sizes that cannot be.

    Raises X2StaticError, which names the folder, the file and the setting.
    """
    _check_files(folder)
    config = json_object(folder, "config.json")
    for path in sorted(folder.glob("adapter_*")):
        remedy = "merge it into its base model (peft: merge_and_unload), save that, and name its folder"
        raise X2StaticError(f"model {folder}: it has an adapter ({path.name}), which x2static does not apply; {remedy}")
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in ("quantization_config", "quantization"):
            if part.get(key):
                what = f"it is quantised ({key} in its config.json), which x2static does not apply"
                raise X2StaticError(f"model {folder}: {what}; name the model that it was made from")
    _check_weight_files(folder, config)
    for name, sizes in (("", config), *((f"{key}.", config.get(key)) for key in ("text_config", "encoder"))):
        if isinstance(sizes, dict):
            _check_sizes(folder, name, sizes)
    for key, value in _applied_settings(folder):
        what = f"its sentence-transformers configuration sets {key} to {value!r}, which x2static does not apply"
        raise X2StaticError(f"model {folder}: {what}; save the model with it, or take it out")


def _check_files(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.is_file() or not any(fnmatch(path.name, pattern) for pattern in READ):
            continue
        try:
            mode = path.stat().st_mode
            kind = next((kind for is_kind, kind in KINDS.items() if is_kind(mode)), "no file")
        except OSError:  # to nowhere, or to itself
            kind = "a link to nothing"
        raise X2StaticError(f"model {folder}: its {path.name} is {kind}; it has to be a file")


def _check_weight_files(folder: Path, config: dict[str, Any]) -> None:
    """Refuse weights that are loaded from elsewhere than from the files that are hashed."""
    pattern = next((pattern for pattern in WEIGHTS if any(folder.glob(pattern))), None)
    if pattern is None:
        return  # the hash of the weights says what is missing
    named = {path.name for path in folder.glob(pattern)}
    whole = WHOLE[WEIGHTS.index(pattern)]
    if config.get("transformers_weights") not in (None, *named):
        where = config["transformers_weights"]
        raise X2StaticError(f"model {folder}: config.json takes the weights from {where!r}, not from its folder")
    if not (whole in named or config.get("transformers_weights")):
        _check_index(folder, pattern, whole)
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in _safetensors_header(path).items():
            if isinstance(tensor, dict) and name.endswith("weight") and tensor.get("dtype", "F32") not in FLOATS:
                what = f"{path.name} holds {name} as {tensor['dtype']}: it is quantised, which x2static does not apply"
                raise X2StaticError(f"model {folder}: {what}; name the model that it was made from")


def _check_index(folder: Path, pattern: str, whole: str) -> None:
    """Refuse weights in several files whose index is not there, or names files elsewhere."""
    index = folder / f"{whole}.index.json"
    if not index.is_file():
        names = ", ".join(sorted(path.name for path in folder.glob(pattern))[:3])
        why = f"it has {names}, but neither {whole} nor {index.name}, which say what is loaded"
        raise X2StaticError(f"model {folder}: {why}; download or save it whole")
    weight_map = json_object(folder, index.name).get("weight_map")
    if not isinstance(weight_map, dict):
        raise X2StaticError(f"model {folder}: its {index.name} has no weight_map; download or save it whole")
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or Path(name).name != name or not fnmatch(name, pattern):
            raise X2StaticError(f"model {folder}: its {index.name} takes {tensor} from {name!r}, not from its folder")


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Return what a weight file says of its tensors; of a damaged one nothing, the library says what is wrong."""
    with path.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
        if n_bytes > path.stat().st_size:
            return {}
        try:
            header = json.loads(file.read(n_bytes))
        except (ValueError, RecursionError):
            return {}
    return header if isinstance(header, dict) else {}


def _check_sizes(folder: Path, prefix: str, config: dict[str, Any]) -> None:
    """Refuse numbers that are none, and those of matrices larger than all of the weights."""
    n_bytes = sum(path.stat().st_size for pattern in WEIGHTS for path in folder.glob(pattern))
    width = next((config[name] for name in WIDTHS if type(config.get(name)) is int), 1)
    for name in (*WIDTHS, *SIZES, *LAYERS, *LIMITS):
        value = config.get(name)
        if value is None or isinstance(value, (list, dict)):
            continue  # the library knows what it stands for
        if isinstance(value, bool) or not isinstance(value, int):
            problem = "a whole number is expected"
        elif value < 1 and name not in LIMITS:
            problem = "at least 1 is expected"
        elif value > MOST_LAYERS if name in LAYERS else value * width > max(n_bytes, ANY_MATRIX):
            problem = f"its weights ({n_bytes} bytes) cannot be of such a model"
        else:
            continue
        raise X2StaticError(f"model {folder}: config.json says {prefix}{name} {str(value)[:40]}; {problem}")


def _applied_settings(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield what sentence-transformers would give to transformers and can change a vector."""
    settings = sentence_settings(folder)
    if settings.get("tokenizer_name_or_path"):
        yield "tokenizer_name_or_path", settings["tokenizer_name_or_path"]
    for kind in ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs"):
        if isinstance(of_kind := settings.get(kind), dict):
            yield from ((f"{kind}.{key}", value) for key, value in of_kind.items() if key not in HARMLESS)
