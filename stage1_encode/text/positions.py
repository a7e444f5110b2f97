"""How many pieces a model reads at once: what its files claim, and what it really holds."""

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.teacher.model import claimed_layers, text_config

MAX_WINDOW = 8192  # pieces; attention takes memory with the square of it
DEFAULT_WINDOW = 512  # for a teacher whose configuration names no limit (T5)
LIMITS = (
    "max_position_embeddings",
    "max_encoder_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
)


class _Entered(Exception):  # noqa: N818  # what is raised to stop, not an error
    """The model has come to its second block."""


def claimed_window(config: PretrainedConfig, max_length: int | None) -> int:
    """Return the smallest of the limits that the model's and the tokenizer's configurations name, in pieces.

    A sentence-transformers folder's own max_seq_length is none of them: it is where that library cuts texts, often far
    below what the model holds.
    """
    values = (getattr(text_config(config), name, None) for name in LIMITS)
    claims = [value for value in values if isinstance(value, int) and value > 0]
    if max_length:
        claims.append(max_length)
    return min(claims, default=DEFAULT_WINDOW)


def held_window(model: PreTrainedModel, claim: int, piece: int) -> int:
    """Return the most pieces that a model reads without an error, between 1 and what its files claim.

    Probed, because the claim may be wrong: RoBERTa's 514 positions hold 512 pieces. Rotary positions have no table that
    could end, so there the claim stands.

    Args:
        model: on the processor.
        claim: pieces, as `claimed_window` says; more than MAX_WINDOW are not tried.
        piece: an id that is not the padding's, because RoBERTa counts positions over what is not padding.
    """
    claim = min(claim, MAX_WINDOW)
    if _is_rotary(model):
        return claim
    for shortfall in range(3):
        if claim > shortfall and _holds(model, claim - shortfall, piece):
            return claim - shortfall
    works, fails = 0, claim
    while fails - works > 1:
        middle = (works + fails) // 2
        works, fails = (middle, fails) if _holds(model, middle, piece) else (works, middle)
    if not works:
        raise X2StaticError(f"the teacher reads no text of any length up to {claim} pieces")
    return works


def _is_rotary(model: PreTrainedModel) -> bool:
    modules = list(model.named_modules())
    tables = any(isinstance(module, nn.Embedding) and ("pos" in name or "wpe" in name) for name, module in modules)
    return not tables and any("Rotary" in type(module).__name__ for _, module in modules)


@torch.inference_mode()
def _holds(model: PreTrainedModel, length: int, piece: int) -> bool:
    """Try a length: embeddings and first block, since the others read what the first has read."""
    n_layers = claimed_layers(model.config)
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == n_layers)
    blocks = next(lists, None)
    hook = blocks[1].register_forward_pre_hook(_stop) if blocks is not None and len(blocks) > 1 else None
    pieces = torch.full((1, length), piece)
    try:
        model(input_ids=pieces, attention_mask=torch.ones_like(pieces))
    except _Entered:
        return True
    except (IndexError, RuntimeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
            raise
        return False
    finally:
        if hook is not None:
            hook.remove()
    return True


def _stop(*_: object) -> None:
    raise _Entered
