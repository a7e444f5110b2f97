"""The teacher's model: configuration, weights, window, and why what does not read text is refused."""

import math
import re
import threading
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import LAST, Layer, split_layers
from x2static.stage1_encode.text.tokenizer_rules import json_object, loading_error, needs_code

# Of these the encoder is published alone too (sentence-t5); read as a whole model, such files would lack the decoder.
ENCODERS = ("t5", "mt5", "umt5")
# Parts of the names of tensors that an adapter or a quantisation adds to a model's own.
ADDED_PARTS = re.compile(
    r"lora_|adapter|ia3_|prompt_enc|qweight|qzeros|weight_scale|\.scales?$|SCB$|absmax|quant_|zero_point"
)
BLOCK_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
MAX_WINDOW = 8192  # pieces; attention takes memory with the square of it
DEFAULT_WINDOW = 512  # for a teacher whose configuration names no limit (T5)
LIMITS = (
    "max_position_embeddings max_encoder_position_embeddings n_positions n_ctx max_seq_len max_sequence_length "
    "seq_length"
).split()


def read_config(folder: Path, trust_remote_code: bool) -> PretrainedConfig:
    """Read a model's configuration.

    Raises X2StaticError: it cannot be read, needs code that may not run, or the model reads more than text.
    """
    # A type that the library knows would be run by the library's code, without a word.
    for file in ("config.json", "tokenizer_config.json"):
        if json_object(folder, file).get("auto_map") and not trust_remote_code:
            raise needs_code(folder, "it", f"auto_map in {file}")
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # the model's own code fails as it likes
        raise loading_error(folder, "it", error) from error
    senses = sorted(name for name in config.sub_configs if "text" not in name and name.endswith("_config"))
    if senses:
        why = f"it reads more than text (its config.json has {', '.join(senses)})"
        remedy = "name a model of text alone, such as the language model that it was made from"
        raise X2StaticError(f"model {folder}: {why}; {remedy}")
    return config


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """Return the part of a configuration that is the text encoder's; most have one part."""
    parts = (getattr(config, name, None) for name in ("encoder", "text_config"))
    return next((part for part in parts if isinstance(part, PretrainedConfig)), config)


def claimed_layers(config: PretrainedConfig) -> int | None:
    """Return how many layers a configuration says its (text) encoder has, None where it says nothing."""
    value = getattr(text_config(config), "num_hidden_layers", None)
    return value if isinstance(value, int) else None


def mean_of_layers(layers: Sequence[torch.Tensor], layer: Layer | str) -> torch.Tensor:
    """Return the states of a layer among those of all, by its one name, or the mean of several in float32."""
    numbers = [-1 if name == LAST else int(name) for name in str(layer).split("+")]
    if len(numbers) == 1:
        return layers[numbers[0]]
    return torch.stack([layers[number].float() for number in numbers]).mean(0)


def canonical_layers(layer: Layer | str, n_layers: int | None) -> Layer | str:
    """Return the one name of a layer, or that of the mean of several, ascending: "0+last". Raises X2StaticError."""
    names = {canonical_layer(one, n_layers) for one in split_layers(str(layer))}
    ordered = sorted(names, key=lambda name: math.inf if name == LAST else int(name))
    return ordered[0] if len(ordered) == 1 else "+".join(map(str, ordered))


def canonical_layer(layer: Layer, n_layers: int | None, option: str = "--layer") -> Layer:
    """Return the one name of a layer: "last", or its number, 0 (the embeddings) to below the last one's.

    Negative numbers count from the end. Raises X2StaticError, which names the option that asked for it: there is no
    such layer, or `n_layers` is None.
    """
    if layer == LAST:
        return LAST
    if n_layers is None:
        problem = "this model's config.json names no number of layers"
        raise X2StaticError(f"{option} {layer}: {problem}; use {option} {LAST}")
    number = layer + n_layers + 1 if layer < 0 else layer
    if not 0 <= number <= n_layers:
        counted = f"0 (its embeddings) to {n_layers} (the last), or -{n_layers + 1} to -1 counted from the end"
        raise X2StaticError(f"{option} {layer}: this teacher has layers {counted}")
    return LAST if number == n_layers else number


def load_model(folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> PreTrainedModel:
    """Load the part of a model that reads text, frozen, on the processor.

    Raises X2StaticError: it cannot be loaded, its weights are not those of its configuration, or it does not read text.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    config = read_config(folder, trust_remote_code)
    loader = AutoModelForTextEncoding if config.model_type in ENCODERS else AutoModel
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": trust_remote_code, "config": config}
    options["ignore_mismatched_sizes"] = True  # they are named below
    try:
        whole: PreTrainedModel
        whole, loading = loader.from_pretrained(folder, output_loading_info=True, **options)
    except Exception as error:  # every format of weights fails with errors of its own
        raise loading_error(folder, "it", error) from error
    model: PreTrainedModel = whole.get_encoder() if loader is not AutoModel or config.is_encoder_decoder else whole
    if model.main_input_name != "input_ids":
        raise X2StaticError(f"model {folder}: {type(model).__name__} reads {model.main_input_name}, not text")
    _check_weights(folder, whole, model, loading)
    model.config.use_cache = False  # keys and values are kept for generating text; here they would only take memory
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    return model


def _check_weights(folder: Path, whole: PreTrainedModel, model: PreTrainedModel, loading: dict[str, Any]) -> None:
    # Only the tensors that the encoder shares with the whole count; what the files lack is filled with random numbers.
    used = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    tensors = [*whole.named_parameters(remove_duplicate=False), *whole.named_buffers(remove_duplicate=False)]
    names = {name for name, tensor in tensors if id(tensor) in used and "pooler" not in name}
    for name, held, wanted in sorted(loading["mismatched_keys"]):
        if name in names:
            why = f"config.json asks for {name} of {list(wanted)} numbers, its weight files hold {list(held)}"
            raise X2StaticError(f"model {folder}: it cannot be loaded: {why}")
    lacking = sorted(names & set(loading["missing_keys"]))
    # Heads are left out without a word; blocks that the configuration does not have are another model's.
    blocks = {BLOCK_NUMBER.sub("#", name) for name in names if BLOCK_NUMBER.search(name)}
    head = f"{whole.base_model_prefix}."  # before the names of a model that was saved with its head
    kept = (name.removeprefix(head) for name in loading["unexpected_keys"])
    beyond = sorted(name for name in kept if BLOCK_NUMBER.sub("#", name) in blocks)
    added = sorted(name for name in loading["unexpected_keys"] if ADDED_PARTS.search(name))
    if added and not lacking:
        why = f"its weight files hold {len(added)} tensors of an adapter or a quantisation ({', '.join(added[:3])})"
        raise X2StaticError(f"model {folder}: {why}, which x2static does not apply; merge them, and save the model")
    problem, end = "hold {} tensors of layers that config.json does not have", ""
    if lacking:
        problem, end = "lack {} of the model's tensors", ", or are not complete"
    if named := lacking or beyond:
        why = f"its weight files {problem.format(len(named))} ({', '.join(named[:3])})"
        raise X2StaticError(f"model {folder}: {why}; they do not belong to this config.json{end}")


def n_embedded(model: PreTrainedModel) -> int:
    """Return how many ids of pieces a model has embeddings for."""
    return len(model.get_input_embeddings().weight)  # type: ignore[arg-type]  # it is a tensor


def held_window(model: PreTrainedModel, max_length: int | None, padding: int) -> int:
    """Return the most pieces that a model on the processor reads without an error.

    At most the smallest of the limits that its configuration and its tokenizer's (`max_length`) name. A
    sentence-transformers folder's own max_seq_length is none of them: it is where that library cuts texts, often far
    below what the model holds. It is tried, because the claim may be wrong: RoBERTa's 514 positions hold 512 pieces,
    and its positions are counted over what is not `padding`. Rotary positions have no table that could end, so there
    the claim stands. Raises X2StaticError: it reads nothing.
    """
    values = [max_length, *(getattr(text_config(model.config), name, None) for name in LIMITS)]
    claims = [value for value in values if isinstance(value, int) and value > 0]
    claim = min(*claims, MAX_WINDOW) if claims else DEFAULT_WINDOW
    modules = list(model.named_modules())
    tables = any(isinstance(module, nn.Embedding) and ("pos" in name or "wpe" in name) for name, module in modules)
    if not tables and any("Rotary" in type(module).__name__ for _, module in modules):
        return claim
    paddings = (padding, getattr(model.config, "pad_token_id", None))
    piece = next(number for number in range(3) if number not in paddings)
    first_block = UpTo(model, 1)
    for shortfall in range(min(3, claim)):
        if _holds(first_block, claim - shortfall, piece):
            return claim - shortfall
    if held := bisect_left(range(1, claim), True, key=lambda length: not _holds(first_block, length, piece)):
        return held
    raise X2StaticError(f"the teacher reads no text of any length up to {claim} pieces")


class _Reached(Exception):  # noqa: N818  # what is raised to stop, not an error
    """A model has come to a block."""

    def __init__(self, states: torch.Tensor) -> None:
        self.states = states  # that are to go through it


class UpTo:
    """Runs a model up to one of its blocks; several threads may do so at once, while others run all of it."""

    def __init__(self, model: PreTrainedModel, number: int) -> None:
        """Take the number of a block; a model whose blocks cannot be found is run to its end."""
        self._model, self._here = model, threading.local()
        n_layers = claimed_layers(model.config)
        lists = (module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == n_layers)
        for block in next(lists, nn.ModuleList())[number : number + 1]:
            block.register_forward_pre_hook(self._stop, with_kwargs=True)

    @classmethod
    def layer(cls, model: PreTrainedModel, layer: int) -> "UpTo | None":
        """Return what gives the states of a layer; None for a model whose blocks do not begin with them."""
        up_to, pieces = cls(model, layer), torch.zeros((2, 2), dtype=torch.long)
        mask = torch.tensor([[1, 1], [1, 0]])
        with torch.inference_mode():
            whole = model(input_ids=pieces, attention_mask=mask, output_hidden_states=True).hidden_states[layer]
            return up_to if torch.equal(up_to(pieces, mask), whole) else None

    def __call__(self, pieces: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the states before the block, (rows, width, dim), or else those of the last layer."""
        self._here.wanted = True
        try:
            return self._model(input_ids=pieces, attention_mask=mask).last_hidden_state  # type: ignore[no-any-return]
        except _Reached as reached:
            return reached.states
        finally:
            self._here.wanted = False

    def _stop(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if getattr(self._here, "wanted", False):
            raise _Reached(args[0] if args else named["hidden_states"])


@torch.inference_mode()
def _holds(first_block: UpTo, length: int, piece: int) -> bool:
    """Try a length: embeddings and first block, since the others read what the first has read."""
    pieces = torch.full((1, length), piece)
    try:
        first_block(pieces, torch.ones_like(pieces))
    except (IndexError, RuntimeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
            raise
        return False
    return True
