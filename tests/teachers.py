"""Tiny teachers, made on the spot: real fast tokenizers trained on the spot, models with random but seeded weights."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    GPT2Config,
    GPT2Model,
    GPT2Tokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
)

FAMILIES = ("bert", "roberta", "gpt2")
DIM = 32
# Wide enough that every position and piece has a state of its own, so that an off-by-one shows; narrow enough that
# attention stays smooth, so that rounding (bfloat16, other batch shapes) is not blown up into another answer.
SPREAD = 0.15
BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Parts of the names of what is looked up by a piece's id or place.
TABLES = ("word_emb", "position", "embed_tokens", "embed_in", "tok_emb", "shared", "relative", "rel_emb")
ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
GPT2_SPECIAL = ("<|endoftext|>",)


@dataclass(frozen=True)
class Teacher:
    """A tiny teacher in a folder, and what a test may know about it without asking the code under test.

    Attributes:
        folder: what `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained` load.
        family: "bert", "roberta" or "gpt2".
        window: pieces that it can read at once, special tokens included.
        begin: ids of the tokens before a text.
        end: ids of the tokens after a text.
    """

    folder: Path
    family: str
    window: int
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def room(self) -> int:
        """Pieces of text that fit in one window."""
        return self.window - len(self.begin) - len(self.end)

    @property
    def gap(self) -> str:
        """What the piece of a word that follows a space begins with."""
        return "" if self.family == "bert" else "Ġ"


def make_teacher(folder: Path, family: str, window: int) -> Teacher:
    """Write a tiny teacher to a folder.

    Args:
        folder: made if missing.
        family: one of FAMILIES.
        window: pieces that it reads at once, special tokens included.

    Returns:
        What was made.
    """
    model, tokenizer, begin, end = {"bert": _bert, "roberta": _roberta, "gpt2": _gpt2}[family](window)
    scatter(model, seed=FAMILIES.index(family))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Teacher(folder, family, window, begin, end)


Made = tuple[PreTrainedModel, PreTrainedTokenizerBase, tuple[int, ...], tuple[int, ...]]
SIZES = {"hidden_size": DIM, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 2 * DIM}


def _bert(window: int) -> Made:
    tokenizer = BertTokenizer(vocab={piece: number for number, piece in enumerate(word_pieces(BERT_SPECIAL))})
    pad, _, begin, end, _ = (tokenizer.convert_tokens_to_ids(token) for token in BERT_SPECIAL)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=window, pad_token_id=pad, **SIZES)
    return BertModel(config), tokenizer, (begin,), (end,)


def word_pieces(special: tuple[str, ...]) -> list[str]:
    """Return BERT's pieces: special ones, characters, alone and inside a word, and words that occur four times.

    The library's own WordPiece trainer chooses differently from run to run.
    """
    clean, cut = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in training_text() for word, _ in cut.pre_tokenize_str(clean.normalize_str(text)))
    letters = sorted({letter for word in counts for letter in word})
    words = sorted(word for word, count in counts.items() if len(word) > 1 and count >= 4)
    return [*special, *letters, *(f"##{letter}" for letter in letters), *words]


def _roberta(window: int) -> Made:
    vocabulary, merges = byte_level(ROBERTA_SPECIAL)
    # As published: the mask token takes the space before it along.
    tokenizer = RobertaTokenizer(vocabulary, merges, mask_token=AddedToken("<mask>", lstrip=True, special=True))
    begin, pad, end, _, _ = (tokenizer.convert_tokens_to_ids(token) for token in ROBERTA_SPECIAL)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=window + pad + 1,  # positions are counted from the one after the padding index
        pad_token_id=pad,
        bos_token_id=begin,
        eos_token_id=end,
        type_vocab_size=1,
        **SIZES,
    )
    return RobertaModel(config), tokenizer, (begin,), (end,)


def _gpt2(window: int) -> Made:
    tokenizer = GPT2Tokenizer(*byte_level(GPT2_SPECIAL))
    end = tokenizer.convert_tokens_to_ids(GPT2_SPECIAL[0])
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=window,
        n_embd=DIM,
        n_layer=2,
        n_head=2,
        bos_token_id=end,
        eos_token_id=end,
    )
    return GPT2Model(config), tokenizer, (), ()


def byte_level(special: tuple[str, ...]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of a byte-level BPE, the special tokens first."""
    rules = Tokenizer(models.BPE())
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rules.train_from_iterator(training_text(), trainer)
    return rules.get_vocab(), merges_of(rules)


def merges_of(rules: Tokenizer) -> list[tuple[str, str]]:
    """Return the merges of a trained BPE, in their order."""
    return [tuple(pair) for pair in json.loads(rules.to_str())["model"]["merges"]]


def scatter(model: PreTrainedModel, seed: int) -> None:
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
