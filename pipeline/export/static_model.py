"""A folder that sentence-transformers (StaticEmbedding) and model2vec (StaticModel) both read.

Their tokenizer is a `tokenizers` JSON. It holds the rules by which training cut text, then a space is put before each
word, and words with their space are the vocabulary of a BPE model without merges: what is no word of it, however it is
spelt, gives no piece, so unknown words add nothing to a mean. A WordLevel model would want an unknown word's piece and
row; no word holds a space, so no piece of an unknown one is a word.
"""

import json
import logging
from pathlib import Path
from typing import Any

from x2static.durable.arrays import write_arrays
from x2static.durable.errors import X2StaticError
from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.vectors import WordVectors

SPACE = " "

logger = logging.getLogger(__name__)


def write(vectors: WordVectors, folder: Path, smaller: Smaller) -> None:
    """Write the folder. Raises X2StaticError: no JSON cuts text as training did."""
    tokenizer = tokenizer_json(vectors)
    arrays = smaller.arrays(vectors.matrix)
    with (folder / "model.safetensors").open("wb") as file:
        write_arrays(file, arrays)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    config: dict[str, Any] = {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": vectors.dim}
    config |= {"normalize": False, "max_length": None, "embedding_dtype": smaller.dtype}
    if smaller.codebook:
        config["vocabulary_quantization"] = smaller.codebook
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}
    for name, content in (("config.json", config), ("modules.json", [module])):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def tokenizer_json(vectors: WordVectors) -> dict[str, Any]:
    """Return a `tokenizers` JSON that gives the rows of the known words of a text, and nothing else.

    It joins several words that are one; where no JSON can, it warns. Raises X2StaticError: the vectors came without
    rules, or a library cuts their words, which a JSON cannot name.
    """
    rules = vectors.segmentation
    if rules is None:
        raise X2StaticError("these vectors came without word segmentation rules, so no tokenizer can be made for them")
    if rules.languages:
        what = (
            f"text of {', '.join(rules.languages)} is cut by rules of each, and a tokenizer does not know which to use"
        )
        raise X2StaticError(f"{what}; give --language with one of them, or use WordVectors.encode")
    content = json.loads(rules.single.rules)
    if "segmenter" in content:
        what = f"{rules.name} cut the words, which no tokenizer JSON can hold: it would cut otherwise than training"
        raise X2StaticError(f"{what}; export to word2vec or gensim, or use WordVectors.encode")
    if entries := rules.multiword.entries:
        if (joined := rules.multiword.joining_rules(content)) is not None:
            content = joined
        else:
            what = (
                "%d entries of several words are not joined in it, since no tokenizer JSON can cut by these rules and"
            )
            logger.warning(
                f"{what} join; a text has their single words there, WordVectors.encode joins them", len(entries)
            )
    spaced = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": False}
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [content["pre_tokenizer"], spaced]}
    content["model"] = {
        "type": "BPE",
        **dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")),
        **{"fuse_unk": False, "byte_fallback": False, "ignore_merges": True, "merges": []},
        "vocab": {SPACE + word: row for row, word in enumerate(vectors.words)},
    }
    return {**content, "added_tokens": [], "post_processor": None, "decoder": None}
