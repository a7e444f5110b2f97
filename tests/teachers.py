"""Tiny teachers of every family that stage one is to read, made on the spot from seeded numbers.

Real fast tokenizers with hand-counted or trained vocabularies, models with random weights, saved as their authors save
theirs.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

FAMILIES = ("bert", "roberta", "gpt2")  # those of the paper; EVERY_FAMILY has all
# A test of each of them: the first, the others where all is tested.
families = pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[] if name == "bert" else pytest.mark.exhaustive) for name in FAMILIES]
)
DIM = 32
WINDOW = 64  # pieces; short, so that paragraphs go on in further windows
# Wide enough that every position and piece has a state of its own, so that an off-by-one shows; narrow enough that
# attention stays smooth, so that rounding (bfloat16, other batch shapes) is not blown up into another answer.
SPREAD = 0.15
# Parts of the names of what is looked up by a piece's id or place.
TABLES = ("word_emb", "position", "embed_tokens", "embed_in", "tok_emb", "shared", "relative", "rel_emb")


@dataclass(frozen=True)
class Teacher:
    """A tiny teacher in a folder, and what a test may know about it without asking the code under test."""

    folder: Path  # what `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained` load
    family: str
    window: int  # pieces that it can read at once, special tokens included
    begin: tuple[int, ...]  # ids of the tokens before a text
    end: tuple[int, ...]  # ids of the tokens after a text

    @property
    def room(self) -> int:
        """Pieces of text that fit in one window."""
        return self.window - len(self.begin) - len(self.end)

    @property
    def gap(self) -> str:
        """What the piece of a word that follows a space begins with."""
        return "" if self.family == "bert" else "Ġ"


Tokens = hf.PreTrainedTokenizerBase


@dataclass(frozen=True)
class Family:
    """How a tiny teacher of a family is made."""

    tokenizer: str  # of TOKENIZERS
    model: Callable[[Tokens, int], hf.PreTrainedModel]  # of a tokenizer and a window
    begin: tuple[str, ...]  # tokens before a text
    end: tuple[str, ...]  # tokens after a text
    layers: int = 2  # its blocks
    bfloat16: bool = False  # whether it is among those that are also compared in bfloat16


def make_teacher(folder: Path, name: str, window: int = WINDOW) -> Teacher:
    """Write the tiny teacher of a family, which reads so many pieces at once, to a folder; it is made if missing."""
    family = EVERY_FAMILY[name]
    tokenizer = TOKENIZERS[family.tokenizer]()
    model = family.model(tokenizer, window)
    scatter(model, seed=list(EVERY_FAMILY).index(name))
    if name.startswith("t5"):
        tokenizer.model_max_length = window
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    begin, end = (tuple(tokenizer.convert_tokens_to_ids(list(tokens))) for tokens in (family.begin, family.end))
    return Teacher(folder, name, window, begin, end)


# --- tokenizers ------------------------------------------------------------------------------------------------------


def word_pieces(*special: str) -> dict[str, int]:
    """Return BERT's vocabulary: special pieces, characters, alone and inside a word, and words that occur four times.

    The library's own WordPiece trainer chooses differently from run to run.
    """
    clean, cut = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in training_text() for word, _ in cut.pre_tokenize_str(clean.normalize_str(text)))
    letters = sorted({letter for word in counts for letter in word})
    words = sorted(word for word, count in counts.items() if len(word) > 1 and count >= 4)
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *words]
    return {piece: number for number, piece in enumerate(pieces)}


def pairs(cut: pre_tokenizers.PreTokenizer, size: int, special: list[str], alphabet: list[str]) -> Any:
    """Return vocabulary, special tokens first, and merges of a BPE that is trained on what a pre-tokenizer cuts."""
    rules = Tokenizer(models.BPE())
    rules.pre_tokenizer = cut
    options = {"special_tokens": special, "initial_alphabet": alphabet, "show_progress": False}
    rules.train_from_iterator(training_text(), trainers.BpeTrainer(vocab_size=size, **options))
    return rules.get_vocab(), [tuple(pair) for pair in json.loads(rules.to_str())["model"]["merges"]]


def byte_level(*special: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of a byte-level BPE, the special tokens first."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return pairs(pre_tokenizers.ByteLevel(add_prefix_space=False), 600, list(special), alphabet)


def unigrams(*special: str) -> list[tuple[str, float]]:
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


def metaspace(*special: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of a BPE over whole texts that falls back to bytes."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    return pairs(pre_tokenizers.Metaspace(), 700, [*special, *bytes_], [])


def _with_added(tokenizer: Tokens, *tokens: AddedToken) -> Tokens:
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def _modernbert() -> Tokens:
    rules = Tokenizer(models.BPE(*byte_level("<|padding|>", "<|endoftext|>")))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.add_tokens(SPACES)
    rules.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True)])
    ends = [(token, rules.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    rules.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("unk", "cls", "sep", "pad", "mask")}
    return hf.PreTrainedTokenizerFast(tokenizer_object=rules, **names)


BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MASK = AddedToken("<mask>", lstrip=True, special=True)  # as published: it takes the space before it along
SPACES = [AddedToken(" " * width, normalized=True) for width in (5, 4, 3, 2)]  # not special: text
OPT = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
EXTRA = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(100))]
TOKENIZERS: dict[str, Callable[[], Tokens]] = {
    "bert": lambda: hf.BertTokenizer(vocab=word_pieces(*BERT)),
    "mpnet": lambda: hf.MPNetTokenizer(vocab=word_pieces("<s>", "<pad>", "</s>", "[UNK]", "<mask>")),
    "roberta": lambda: hf.RobertaTokenizer(*byte_level(*ROBERTA), mask_token=MASK),
    "gpt2": lambda: hf.GPT2Tokenizer(*byte_level("<|endoftext|>")),
    "opt": lambda: hf.GPT2Tokenizer(*byte_level(*ROBERTA), add_bos_token=True, **OPT),
    # neither begin nor end tokens; <think> is an added token that is not special
    "qwen": lambda: _with_added(hf.Qwen2Tokenizer(*byte_level()), AddedToken("<think>", normalized=False)),
    "gpt-neox": lambda: _with_added(
        hf.GPTNeoXTokenizer(*byte_level("<|endoftext|>", "<|padding|>"), pad_token="<|padding|>"), *SPACES
    ),
    "modernbert": _modernbert,
    "albert": lambda: hf.AlbertTokenizer(vocab=unigrams("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
    # its mask token comes to stand behind the vocabulary, as published
    "deberta": lambda: hf.DebertaV2Tokenizer(vocab=unigrams("[PAD]", "[CLS]", "[SEP]", "[UNK]")),
    "xlm-roberta": lambda: hf.XLMRobertaTokenizer(vocab=[*unigrams(*ROBERTA[:4]), ("<mask>", 0.0)]),
    "mbart": lambda: hf.MBartTokenizer(vocab=unigrams(*ROBERTA[:4])),
    "t5": lambda: hf.T5Tokenizer(vocab=[*unigrams("<pad>", "</s>", "<unk>"), *EXTRA]),
    "llama": lambda: hf.LlamaTokenizer(*metaspace("<unk>", "<s>", "</s>"), add_bos_token=True),
    "gemma": lambda: hf.GemmaTokenizer(*metaspace("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"), add_bos_token=True),
}


# --- models ----------------------------------------------------------------------------------------------------------


def _of(kind: str, head: str = "Model", window: str = "max_position_embeddings", more: int = 0, **options: Any) -> Any:
    """Return what makes a model of a kind ("Bert"), with a head ("ForMaskedLM") or without.

    The option called `window` is set to the window, and `more`, which no text gets to.
    """

    def make(tokenizer: Tokens, pieces: int) -> hf.PreTrainedModel:
        ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
        positions = {window: pieces + more} if window else {}
        config = getattr(hf, f"{kind}Config")(vocab_size=len(tokenizer), **ids, **positions, **options)
        return getattr(hf, kind + head)(config)

    return make


SIZES = {"hidden_size": DIM, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 2 * DIM}
RMS_SIZES = {**SIZES, "num_key_value_heads": 1}  # one key for two query heads
# Positions are counted from the one after the padding's id.
AFTER_PADDING = {**SIZES, "more": 2, "type_vocab_size": 1}
HALF = {"layers": 2, "attention_heads": 2, "ffn_dim": 2 * DIM}  # encoder or decoder
BART = {f"encoder_{what}": size for what, size in HALF.items()} | {f"decoder_{what}": HALF[what] for what in HALF}
T5 = {"window": "", "d_model": DIM, "d_kv": 16, "d_ff": 2 * DIM}
T5 |= {"num_layers": 2, "num_decoder_layers": 1, "num_heads": 2}
GPT2 = {"window": "n_positions", "n_embd": DIM, "n_layer": 2, "n_head": 2}
DISTILBERT = {"dim": DIM, "n_layers": 2, "n_heads": 2, "hidden_dim": 2 * DIM}
MODERNBERT = SIZES | {"local_attention": 8, "num_hidden_layers": 4}
RELATIVE = {"relative_attention": True, "max_relative_positions": -1, "position_buckets": 8, **SIZES}
SHARED = {"share_att_key": True, "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm", **RELATIVE}
DEBERTA_V3 = {"position_biased_input": False, "type_vocab_size": 0, **SHARED}
CLS, SEP, START, STOP = ("[CLS]",), ("[SEP]",), ("<s>",), ("</s>",)

EVERY_FAMILY = {
    "bert": Family("bert", _of("Bert", "ForMaskedLM", **SIZES), CLS, SEP, bfloat16=True),
    "roberta": Family("roberta", _of("Roberta", "ForMaskedLM", **AFTER_PADDING), START, STOP, bfloat16=True),
    "gpt2": Family("gpt2", _of("GPT2", "LMHeadModel", **GPT2), (), (), bfloat16=True),
    "xlm-roberta": Family("xlm-roberta", _of("XLMRoberta", **AFTER_PADDING), START, STOP, bfloat16=True),
    "mpnet": Family("mpnet", _of("MPNet", **SIZES, more=2), START, STOP),
    "gpt2-large": Family("gpt2", _of("GPT2", **GPT2 | {"n_embd": 48, "n_layer": 5, "n_head": 6}), (), (), layers=5),
    "distilbert": Family("bert", _of("DistilBert", **DISTILBERT), CLS, SEP),
    "albert": Family("albert", _of("Albert", embedding_size=16, **SIZES), CLS, SEP),
    "electra": Family("bert", _of("Electra", embedding_size=16, **SIZES), CLS, SEP),
    "deberta-v3": Family("deberta", _of("DebertaV2", **DEBERTA_V3), CLS, SEP, bfloat16=True),
    # its window is eight times what its local layers see: the second and third of every three
    "modernbert": Family("modernbert", _of("ModernBert", **MODERNBERT), CLS, SEP, layers=4, bfloat16=True),
    "t5": Family("t5", _of("T5", **T5), (), STOP, bfloat16=True),
    "t5-encoder": Family("t5", _of("T5", "EncoderModel", **T5, feed_forward_proj="gated-gelu"), (), STOP),
    "bart": Family("roberta", _of("Bart", d_model=DIM, **BART), START, STOP),
    "mbart": Family("mbart", _of("MBart", "ForConditionalGeneration", d_model=DIM, **BART), (), ("</s>", "en_XX")),
    "llama": Family("llama", _of("Llama", "ForCausalLM", **RMS_SIZES), START, (), bfloat16=True),
    "qwen3": Family("qwen", _of("Qwen3", **RMS_SIZES, head_dim=16), (), ()),
    "gpt-neox": Family("gpt-neox", _of("GPTNeoX", **SIZES), (), ()),
    "gemma": Family("gemma", _of("Gemma", **RMS_SIZES, head_dim=16), ("<bos>",), ()),
    "opt": Family("opt", _of("OPT", **SIZES, ffn_dim=2 * DIM, word_embed_proj_dim=16), STOP, ()),
}


def scatter(model: hf.PreTrainedModel, seed: int) -> None:
    """Draw every weight, gain and bias anew; what a library leaves at 0 or 1 would hide a mistake."""
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in sorted(model.named_parameters()):
            if weights.ndim == 1:
                centre, spread = (1.0, 0.1) if name.endswith("weight") else (0.0, 0.1)
            elif any(part in name for part in TABLES) or name.startswith(("wte", "wpe")):
                centre, spread = 0.0, 1.0
            else:
                centre, spread = 0.0, SPREAD
            weights.copy_(centre + spread * torch.randn(weights.shape, generator=drawn))


NOUNS = "cat dog river house teacher student book city garden window machine language word sentence road bird".split()
NAMES = "Anna Berlin Korea London Maria Peter Rome Vienna".split()
VERBS = "sees reads finds builds likes draws follows remembers opens writes".split()
ADJECTIVES = "old small green quiet famous open strange long young cold".split()
SCRIPTS = ("안녕하세요 저는 학생입니다", "مرحبا بالعالم", "naïve café déjà vu", "Straße und Größe", "日本語の文章")


def training_text() -> Iterator[str]:
    """Yield the sentences that the tokenizers are trained on: as published, and as the paper's corpus looks."""
    drawn = random.Random(0)
    for _ in range(400):
        sentence = f"{english_sentence(drawn)}{drawn.choice('...?!')}"
        yield sentence
        yield f"{sentence[:-1]} {sentence[-1]}".lower()
    yield from SCRIPTS
    yield from (f'{number} , {number}.{number} ; ( : ) [ | ] < / > "' for number in range(10))


def english_sentence(drawn: random.Random) -> str:
    """Return a sentence without its final stop; some have a comma, a name or a number."""
    noun, other = drawn.sample(NOUNS, 2)
    verb, adjective, name = drawn.choice(VERBS), drawn.choice(ADJECTIVES), drawn.choice(NAMES)
    return drawn.choice(
        (
            f"The {adjective} {noun} {verb} the {other}",
            f"{name} {verb} a {adjective} {noun}, and the {other} {verb} it",
            f"In {drawn.randint(1000, 2029)} the {noun} of {name} was {adjective}",
            f"Who {verb} the {noun} near the {adjective} {other}",
            f"It is {drawn.randint(1, 99)} kilometres from {name} to the {noun}",
        )
    )
