"""The frozen teacher: found, identified, loaded, its window probed, its states given."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from schemas.encoding import EncodeConfig, Precision
from schemas.errors import X2StaticError
from stage1_encode.hub import resolve_model
from stage1_encode.pooling import padded_width
from stage1_encode.tokens import TeacherTokenizer, first_line, tokenizer_sha256
from stage1_encode.transfer import to_device
from stage1_encode.windows import Window

MAX_WINDOW = 8192  # pieces; attention takes memory with the square of it
DEFAULT_WINDOW = 512  # for a teacher whose configuration names no limit (T5)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeacherFiles:
    """A teacher on disk and what its files are, known without loading it.

    Attributes:
        name: as the user gave it.
        folder: where its files are.
        revision: commit, for a model of the hub.
        weights: sha256 of the weights.
        config: sha256 of config.json, and of the model's own Python code where it has any.
        tokenizer: sha256 of the tokenizer's files.
    """

    name: str
    folder: Path
    revision: str | None
    weights: str
    config: str
    tokenizer: str

    @classmethod
    def find(cls, model: str, revision: str | None) -> "TeacherFiles":
        """Find a model: a folder, "demo", or an id on the hub.

        Raises:
            X2StaticError: it is not there, or not complete.
        """
        folder, commit = resolve_model(model, revision)
        config = folder / "config.json"
        if not config.is_file():
            raise X2StaticError(f"model {model}: {folder} holds no config.json; it is not a Hugging Face model")
        return cls(
            name=model,
            folder=folder,
            revision=commit,
            weights=weights_sha256(folder),
            config=config_sha256(folder),
            tokenizer=tokenizer_sha256(folder),
        )


def config_sha256(folder: Path) -> str:
    """Return the sha256 of config.json; of a model with Python code of its own, that of all these files' hashes."""
    files = [folder / "config.json", *sorted(folder.glob("*.py"))]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def weights_sha256(folder: Path) -> str:
    """Return the sha256 of a model's weight file; of several, the sha256 over their names and hashes.

    Raises:
        X2StaticError: the folder holds no weights.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise X2StaticError(f"model {folder}: it holds no weights (*.safetensors); download or save the whole model")
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(files) == 1:
        return hashes[0]
    pairs = zip(files, hashes, strict=True)
    return hashlib.sha256("".join(f"{path.name} {value}\n" for path, value in pairs).encode()).hexdigest()


def pick_precision(config: EncodeConfig, device: torch.device) -> tuple[Precision, str]:
    """Return the teacher's number format, and why (DESIGN §1, last row of the table)."""
    if config.precision != "auto":
        return config.precision, "it was asked for"
    if config.compat == "paper":
        return "float16", "the reference implementation uses it"
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = torch.cpu.get_capabilities()
        supported = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    if supported:
        return "bfloat16", f"this {device.type.upper()} computes with it"
    return "float32", f"this {device.type.upper()} does not compute with bfloat16"


class Teacher:
    """A loaded teacher.

    Attributes:
        tokenizer: cuts text into its pieces.
        dim: width of its hidden states.
        window: pieces that it holds, special tokens included.
        attention: its attention implementation.
    """

    def __init__(
        self, files: TeacherFiles, precision: Precision, device: torch.device, trust_remote_code: bool
    ) -> None:
        """Load the model, probe its window and move it to the device.

        Raises:
            X2StaticError: it cannot be loaded, or is not a model with hidden states.
        """
        self.tokenizer = TeacherTokenizer.load(files.folder, trust_remote_code)
        self.device = device
        self._model = _load(files.folder, getattr(torch, precision), trust_remote_code)
        self.attention = str(self._model.config._attn_implementation)
        self.window = self._probe_window()
        self.dim = self.forward(*[torch.ones((1, 1), dtype=torch.long)] * 2).shape[-1]
        self._model.to(device)  # type: ignore[arg-type]  # decorated, and so mistaken for a function

    def states(self, batch: list[Window]) -> torch.Tensor:
        """Return the last layer's states of a batch, (len(batch), width, dim) in the teacher's precision.

        Shorter windows are padded on the right and masked; their states behind the end mean nothing.
        """
        return self.forward(*self.inputs(batch))

    def layers(self, batch: list[Window]) -> tuple[torch.Tensor, ...]:
        """Return the states of every layer as `states` does, the embedding layer's output first."""
        return self._hidden_states(*self.inputs(batch))

    def picked(self, layers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return what `states` returns, out of the states of all layers."""
        return layers[-1]

    @property
    def n_layers(self) -> int:
        """Layers, the embedding layer's output included."""
        return int(self._model.config.num_hidden_layers) + 1

    def inputs(self, batch: list[Window]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch's pieces and mask, (len(batch), width) int64 each, on the device."""
        width = padded_width(max(len(window.pieces) for window in batch), self.window)
        pieces = np.full((len(batch), width), self.tokenizer.padding, np.int64)
        mask = np.zeros((len(batch), width), np.int64)
        for row, window in enumerate(batch):
            pieces[row, : len(window.pieces)] = window.pieces
            mask[row, : len(window.pieces)] = 1
        return to_device(pieces, self.device), to_device(mask, self.device)

    @torch.inference_mode()
    def forward(self, pieces: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the last layer's states of padded pieces, (rows, width, dim)."""
        states: torch.Tensor = self._model(input_ids=pieces, attention_mask=mask).last_hidden_state
        return states

    @torch.inference_mode()
    def _hidden_states(self, pieces: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found: tuple[torch.Tensor, ...] = self._model(
            input_ids=pieces, attention_mask=mask, output_hidden_states=True
        ).hidden_states
        return found

    def _probe_window(self) -> int:
        """Return the most pieces that the model reads without an error, between 1 and what its files claim.

        Probed, because the claim may be wrong: RoBERTa's 514 positions hold 512 pieces.
        """
        claim = min(claimed_window(self._model.config, self.tokenizer.max_length), MAX_WINDOW)
        for shortfall in range(3):
            if claim > shortfall and self._holds(claim - shortfall):
                return claim - shortfall
        works, fails = 0, claim
        while fails - works > 1:
            middle = (works + fails) // 2
            works, fails = (middle, fails) if self._holds(middle) else (works, middle)
        if works <= self.tokenizer.n_special:
            raise X2StaticError(f"the teacher reads no text of any length up to {claim} pieces")
        return works

    def _holds(self, length: int) -> bool:
        # Any id but the padding's: RoBERTa counts positions over the pieces that are not padding.
        piece = 0 if self.tokenizer.padding != 0 else 1
        try:
            pieces = torch.full((1, length), piece)
            self.forward(pieces, torch.ones_like(pieces))
        except (IndexError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
                raise
            return False
        return True


def claimed_window(config: PretrainedConfig, max_length: int | None) -> int:
    """Return the smallest of the limits that the model's and the tokenizer's configurations name."""
    names = ("max_position_embeddings", "n_positions")
    claims = [value for name in names if isinstance(value := getattr(config, name, None), int) and value > 0]
    if max_length:
        claims.append(max_length)
    return min(claims, default=DEFAULT_WINDOW)


def _load(folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> PreTrainedModel:
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": trust_remote_code, "config": config}
        model: PreTrainedModel
        model, loading = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
    except Exception as error:  # every format of weights fails with errors of its own
        raise X2StaticError(f"model {folder}: it cannot be loaded: {first_line(error)}") from error
    # What the files lack is filled with random numbers; only the pooler's are never used.
    lacking = sorted(
        name for kind in ("missing_keys", "mismatched_keys") for name in map(str, loading[kind]) if "pooler" not in name
    )
    if lacking:
        raise X2StaticError(
            f"model {folder}: its weight files lack {len(lacking)} of the model's tensors ({', '.join(lacking[:3])}); "
            "they do not belong to this config.json, or are not complete"
        )
    if config.is_encoder_decoder:
        model = model.get_encoder()
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    return model
