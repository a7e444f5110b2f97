"""Word vectors in the folders of other tools: sentence-transformers, model2vec, spaCy, and our ONNX export."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import read_json
from x2static.machine.packages import require_modules
from x2static.schemas.segmentation import WordSegmentation

Matrix = npt.NDArray[np.float32]
MARKS = ("▁", "Ġ", " ")  # what a vocabulary of pieces puts before the first one of a word, by its kind


class Read(NamedTuple):
    """What a folder holds."""

    format: str
    file: Path  # that has the numbers
    words: list[str]
    matrix: Matrix  # (len(words), dim)
    segmentation: WordSegmentation | None = None  # how the tool cuts text, where it does so by words as we do


def read_folder(folder: Path) -> Read:
    """Return the words of a folder with their vectors. Raises X2StaticError: it is none that is known, or damaged."""
    places: dict[str, Callable[[Path], Read]] = {
        "model.safetensors": _static,
        "0_StaticEmbedding/model.safetensors": _static,
        "model.onnx": _onnx,
        "vocab/vectors": _spacy,
    }
    reader = next((read for name, read in places.items() if (folder / name).exists()), None)
    if reader is None:
        known = "sentence-transformers (StaticEmbedding), model2vec, spaCy, or x2static's ONNX"
        raise X2StaticError(f"{folder}: no folder of {known}; name the file, if the vectors are in one")
    try:
        return reader(folder)
    except (OSError, KeyError, ValueError, TypeError, IndexError, SafetensorError) as error:
        raise X2StaticError(
            f"{folder}: damaged, or not what its names say ({first_line(error)}); get it again"
        ) from error


def _static(folder: Path) -> Read:
    """Read StaticEmbedding or StaticModel: row i is embeddings[mapping[i]] * weights[i]."""
    inner = folder if (folder / "model.safetensors").is_file() else folder / "0_StaticEmbedding"
    file = inner / "model.safetensors"
    arrays = safetensors.load_file(file)
    rows = arrays["embedding.weight"] if "embedding.weight" in arrays else arrays["embeddings"]
    matrix = rows.astype(np.float32)
    if "mapping" in arrays:
        matrix = matrix[arrays["mapping"]]
    if "weights" in arrays:
        matrix *= arrays["weights"].astype(np.float32)[:, None]
    return _of_tokenizer("static-model", file, read_json(inner / "tokenizer.json"), matrix)


def _onnx(folder: Path) -> Read:
    """Read what `export --to onnx` writes."""
    require_modules("export", "onnx")
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load_model(folder / "model.onnx").graph
    except DecodeError as error:
        raise ValueError(str(error)) from error
    matrix = next(numpy_helper.to_array(one) for one in graph.initializer if one.name == "embeddings")
    return _of_tokenizer("onnx", folder / "model.onnx", read_json(folder / "tokenizer.json"), matrix)


def _of_tokenizer(kind: str, file: Path, content: dict[str, Any], matrix: Matrix) -> Read:
    """Return the whole words of a tokenizer's vocabulary; pieces inside of words and special tokens are no words."""
    vocabulary = content["model"]["vocab"]
    rows: dict[str, int] = (
        vocabulary if isinstance(vocabulary, dict) else {piece: row for row, (piece, _) in enumerate(vocabulary)}
    )
    if max(rows.values()) >= len(matrix):
        raise ValueError(f"{len(matrix)} rows for {len(rows)} pieces")
    special = {token["content"] for token in content.get("added_tokens") or []}
    inside = content["model"].get("continuing_subword_prefix")
    mark = next((mark for mark in MARKS if sum(piece.startswith(mark) for piece in rows) > len(rows) / 4), "")
    words: dict[str, int] = {}
    for piece, row in sorted(rows.items(), key=lambda item: item[1]):
        if piece.startswith(mark) and piece not in special and not (inside and piece.startswith(inside)):
            words.setdefault(piece.removeprefix(mark), row)
    words.pop("", None)
    return Read(kind, file, list(words), matrix[list(words.values())], _rules(content) if mark == " " else None)


def _rules(content: dict[str, Any]) -> WordSegmentation | None:
    """Return the rules from which `export` made a tokenizer, or None."""
    from x2static.stage1_encode.text.segmentation import default_words

    outer = content.get("pre_tokenizer") or {}
    steps = outer.get("pretokenizers") or []
    if len(steps) != 2 or steps[1].get("replacement") != " ":
        return None
    default = default_words()
    model = json.loads(default.rules)["model"]
    rules = {**content, "pre_tokenizer": steps[0], "model": model}
    return default if rules == json.loads(default.rules) else WordSegmentation(json.dumps(rules, ensure_ascii=False))


def _spacy(folder: Path) -> Read:
    """Read the vectors of a spaCy pipeline; several words may share a row."""
    require_modules("export", "spacy")
    from spacy.vocab import Vocab

    vocabulary = Vocab().from_disk(folder / "vocab")
    keys = sorted(vocabulary.vectors.key2row.items(), key=lambda item: item[1])
    words = [vocabulary.strings[key] for key, _ in keys]
    matrix = np.asarray(vocabulary.vectors.data, np.float32)[[row for _, row in keys]]
    return Read("spacy", folder / "vocab" / "vectors", words, matrix)
