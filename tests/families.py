"""A table of tiny teachers, one of each family that stage one is to read, each with a real fast tokenizer of its kind.

Like those of tests/teachers.py they are made on the spot from seeded numbers and hand-counted vocabularies, and saved
as their authors save theirs.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import transformers as hf
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers

from tests.teachers import (
    BERT_SPECIAL,
    DIM,
    GPT2_SPECIAL,
    ROBERTA_SPECIAL,
    SIZES,
    Teacher,
    byte_level,
    merges_of,
    scatter,
    training_text,
    word_pieces,
)

MADE_WINDOW = 64  # pieces; short, so that paragraphs go on in further windows
RMS_SIZES = {**SIZES, "num_key_value_heads": 1, "max_position_embeddings": MADE_WINDOW}  # one key for two query heads
SPACES = tuple(" " * width for width in range(2, 6))


@dataclass(frozen=True)
class Family:
    """How a tiny teacher of a family is made, and what a test may know about it.

    Attributes:
        tokenizer: makes the fast tokenizer.
        model: makes the model for a tokenizer.
        begin: tokens before a text.
        end: tokens after a text.
        window: pieces that the model really holds, special tokens included.
        layers: its blocks.
        bfloat16: whether it is among those that are also compared in bfloat16.
    """

    tokenizer: Callable[[], hf.PreTrainedTokenizerBase]
    model: Callable[[hf.PreTrainedTokenizerBase], hf.PreTrainedModel]
    begin: tuple[str, ...]
    end: tuple[str, ...]
    window: int = MADE_WINDOW
    layers: int = 2
    bfloat16: bool = False


def make_family(folder: Path, name: str) -> Teacher:
    """Write the tiny teacher of a family to a folder."""
    family = FAMILIES[name]
    tokenizer = family.tokenizer()
    model = family.model(tokenizer)
    scatter(model, seed=sorted(FAMILIES).index(name))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    begin, end = (tuple(tokenizer.convert_tokens_to_ids(list(tokens))) for tokens in (family.begin, family.end))
    return Teacher(folder, name, family.window, begin, end)


# --- tokenizers ------------------------------------------------------------------------------------------------------


def _bert() -> hf.PreTrainedTokenizerBase:
    return hf.BertTokenizer(vocab={piece: number for number, piece in enumerate(word_pieces(BERT_SPECIAL))})


def _mpnet() -> hf.PreTrainedTokenizerBase:
    special = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
    return hf.MPNetTokenizer(vocab={piece: number for number, piece in enumerate(word_pieces(special))})


def _roberta() -> hf.PreTrainedTokenizerBase:
    return hf.RobertaTokenizer(*byte_level(ROBERTA_SPECIAL), mask_token=AddedToken("<mask>", lstrip=True, special=True))


def _gpt2() -> hf.PreTrainedTokenizerBase:
    return hf.GPT2Tokenizer(*byte_level(GPT2_SPECIAL))


def _opt() -> hf.PreTrainedTokenizerBase:
    special = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    return hf.GPT2Tokenizer(*byte_level(ROBERTA_SPECIAL), add_bos_token=True, **special)


def _qwen() -> hf.PreTrainedTokenizerBase:
    """Return a tokenizer without begin and end tokens; its <think> is an added token that is not special."""
    vocabulary, merges = byte_level(())
    tokenizer = hf.Qwen2Tokenizer(vocabulary, merges)
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    return tokenizer


def _gpt_neox() -> hf.PreTrainedTokenizerBase:
    """Return a tokenizer whose runs of spaces are added tokens, and no special ones: text."""
    special = ("<|endoftext|>", "<|padding|>")
    tokenizer = hf.GPTNeoXTokenizer(*byte_level(special), pad_token="<|padding|>")
    tokenizer.add_tokens([AddedToken(run, normalized=True) for run in reversed(SPACES)])
    return tokenizer


def _modernbert() -> hf.PreTrainedTokenizerBase:
    rules = Tokenizer(models.BPE(*byte_level(("<|padding|>", "<|endoftext|>"))))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.add_tokens([AddedToken(run, normalized=True) for run in reversed(SPACES)])
    rules.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True)])
    rules.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, rules.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    names = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("unk", "cls", "sep", "pad", "mask")}
    return hf.PreTrainedTokenizerFast(tokenizer_object=rules, **names)


def unigrams(special: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return a Unigram vocabulary: the special tokens at 0, as SentencePiece has them, then words and letters.

    Scores are the logarithms of frequencies, counted; the library's trainer adds in several threads.
    """
    counts: Counter[str] = Counter()
    for text in training_text():
        for word in text.split():
            counts.update({f"▁{word}": 4, "▁": 1, **Counter(word)})
    total = counts.total()
    pieces = sorted(piece for piece, count in counts.items() if len(piece) == 1 or count >= 16)
    return [*((token, 0.0) for token in special), *((piece, log(counts[piece] / total)) for piece in pieces)]


def _albert() -> hf.PreTrainedTokenizerBase:
    return hf.AlbertTokenizer(vocab=unigrams(("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")))


def _deberta() -> hf.PreTrainedTokenizerBase:
    tokenizer = hf.DebertaV2Tokenizer(vocab=unigrams(("[PAD]", "[CLS]", "[SEP]", "[UNK]")))
    assert tokenizer.mask_token_id == len(tokenizer) - 1, "the mask token stands behind the vocabulary, as published"
    return tokenizer


def _xlm_roberta() -> hf.PreTrainedTokenizerBase:
    return hf.XLMRobertaTokenizer(vocab=[*unigrams(("<s>", "<pad>", "</s>", "<unk>")), ("<mask>", 0.0)])


def _mbart() -> hf.PreTrainedTokenizerBase:
    return hf.MBartTokenizer(vocab=unigrams(("<s>", "<pad>", "</s>", "<unk>")))


def _t5() -> hf.PreTrainedTokenizerBase:
    vocabulary = [*unigrams(("<pad>", "</s>", "<unk>")), *((f"<extra_id_{n}>", 0.0) for n in reversed(range(100)))]
    return hf.T5Tokenizer(vocab=vocabulary, model_max_length=MADE_WINDOW)


def _metaspace(special: tuple[str, ...]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of a BPE over whole texts that falls back to bytes."""
    rules = Tokenizer(models.BPE())
    rules.pre_tokenizer = pre_tokenizers.Metaspace()
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=[*special, *bytes_], show_progress=False)
    rules.train_from_iterator(training_text(), trainer)
    return rules.get_vocab(), merges_of(rules)


def _llama() -> hf.PreTrainedTokenizerBase:
    return hf.LlamaTokenizer(*_metaspace(("<unk>", "<s>", "</s>")), add_bos_token=True)


def _gemma() -> hf.PreTrainedTokenizerBase:
    return hf.GemmaTokenizer(*_metaspace(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")), add_bos_token=True)


# --- models ----------------------------------------------------------------------------------------------------------

Make = Callable[[hf.PreTrainedTokenizerBase], hf.PreTrainedModel]


def _of(kind: str, head: str = "Model", **options: Any) -> Make:
    """Return what makes a model of a kind ("Bert"), with a head ("ForMaskedLM") or without."""

    def make(tokenizer: hf.PreTrainedTokenizerBase) -> hf.PreTrainedModel:
        ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
        config = getattr(hf, f"{kind}Config")(vocab_size=len(tokenizer), **ids, **options)
        return getattr(hf, kind + head)(config)

    return make


POSITIONS = {**SIZES, "max_position_embeddings": MADE_WINDOW}
AFTER_PADDING = {**SIZES, "max_position_embeddings": MADE_WINDOW + 2, "type_vocab_size": 1}
BART = {
    "d_model": DIM,
    "max_position_embeddings": MADE_WINDOW,
    **{
        f"{side}_{what}": size
        for side in ("encoder", "decoder")
        for what, size in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 2 * DIM))
    },
}
T5 = {"d_model": DIM, "d_kv": 16, "d_ff": 2 * DIM, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 2}
GPT2 = {"n_positions": MADE_WINDOW, "n_embd": DIM, "n_layer": 2, "n_head": 2}
DEBERTA_V3 = {
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "max_relative_positions": -1,
    "position_biased_input": False,
    "type_vocab_size": 0,
}

FAMILIES = {
    "bert": Family(_bert, _of("Bert", "ForMaskedLM", **POSITIONS), ("[CLS]",), ("[SEP]",), bfloat16=True),
    "roberta": Family(_roberta, _of("Roberta", "ForMaskedLM", **AFTER_PADDING), ("<s>",), ("</s>",), bfloat16=True),
    "xlm-roberta": Family(_xlm_roberta, _of("XLMRoberta", **AFTER_PADDING), ("<s>",), ("</s>",), bfloat16=True),
    "mpnet": Family(_mpnet, _of("MPNet", **SIZES, max_position_embeddings=MADE_WINDOW + 2), ("<s>",), ("</s>",)),
    "gpt2": Family(_gpt2, _of("GPT2", "LMHeadModel", **GPT2), (), (), bfloat16=True),
    "gpt2-large": Family(_gpt2, _of("GPT2", **GPT2 | {"n_embd": 48, "n_layer": 5, "n_head": 6}), (), (), layers=5),
    "distilbert": Family(
        _bert,
        _of("DistilBert", dim=DIM, n_layers=2, n_heads=2, hidden_dim=2 * DIM, max_position_embeddings=MADE_WINDOW),
        ("[CLS]",),
        ("[SEP]",),
    ),
    "albert": Family(_albert, _of("Albert", embedding_size=16, **POSITIONS), ("[CLS]",), ("[SEP]",)),
    "electra": Family(_bert, _of("Electra", embedding_size=16, **POSITIONS), ("[CLS]",), ("[SEP]",)),
    "deberta-v3": Family(_deberta, _of("DebertaV2", **POSITIONS, **DEBERTA_V3), ("[CLS]",), ("[SEP]",), bfloat16=True),
    "modernbert": Family(
        _modernbert,  # its window is eight times what its local layers see: the second and third of every three
        _of("ModernBert", local_attention=8, **POSITIONS | {"num_hidden_layers": 4}),
        ("[CLS]",),
        ("[SEP]",),
        layers=4,
        bfloat16=True,
    ),
    "t5": Family(_t5, _of("T5", **T5), (), ("</s>",), bfloat16=True),
    "t5-encoder": Family(_t5, _of("T5", "EncoderModel", **T5, feed_forward_proj="gated-gelu"), (), ("</s>",)),
    "bart": Family(_roberta, _of("Bart", **BART), ("<s>",), ("</s>",)),
    "mbart": Family(_mbart, _of("MBart", "ForConditionalGeneration", **BART), (), ("</s>", "en_XX")),
    "llama": Family(_llama, _of("Llama", "ForCausalLM", **RMS_SIZES), ("<s>",), (), bfloat16=True),
    "qwen3": Family(_qwen, _of("Qwen3", **RMS_SIZES, head_dim=16), (), ()),
    "gpt-neox": Family(_gpt_neox, _of("GPTNeoX", **POSITIONS), (), ()),
    "gemma": Family(_gemma, _of("Gemma", **RMS_SIZES, head_dim=16), ("<bos>",), ()),
    "opt": Family(
        _opt,
        _of("OPT", **SIZES | {"ffn_dim": 2 * DIM}, max_position_embeddings=MADE_WINDOW, word_embed_proj_dim=16),
        ("</s>",),
        (),
    ),
}
