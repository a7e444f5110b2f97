"""Two languages in one space, and how well words are translated; one JSON line last.

    python -m benchmarks.bilingual FOLDER --corpus FILE [--steps 10000] [--parallel 0]

No multilingual teacher need be there: one is trained on the spot, a BERT of two layers and 64 dimensions, to read
English and English in which every letter is another, which shares no word with it (the classical test: K, Wang, Mayhew
and Roth, ICLR 2020; Dufter and Schütze, EMNLP 2020). What is a word's translation is then known exactly. It guesses
masked words in one language at a time, and becomes bilingual by itself, in five minutes of a core. With `--parallel
0.7` it is shown the text beside its translation, which begins at the same position, in so many of its batches
(translation language modelling, Lample and Conneau 2019); 4,000 steps are enough then. A teacher that is in the folder
is taken as it is.

Then both texts go into one cache, words kept apart, and word vectors are trained and scored by `x2static evaluate
--task translation`, with and without the mean direction of each language. Beside them stand chance, and a rotation that
is fitted to half of the dictionary (Procrustes, supervised) and scored on the other half, as the plain vectors are.
"""

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import x2static
from x2static.evaluation.translation import Dictionary, read_dictionaries, score_translation
from x2static.schemas.vectors import WordVectors

LANGUAGES = SOURCE, TARGET = "en", "eo"  # one that has no carrier phrases stands for the cipher
CIPHER = str.maketrans({chr(ord("a") + place): chr(ord("а") + place) for place in range(26)})  # to Cyrillic letters
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNKNOWN, CLS, MASK = 1, 2, 4
LENGTH, BATCH, MASKED = 16, 64, 0.3  # pieces, texts, share of the pieces
LAYER = 1  # of two: the middle of the model, where the languages are nearest


def words_of(corpus: Path, least: int) -> tuple[list[str], list[str], Tokenizer]:
    """Return the paragraphs, the words of letters that occur so often, and what cuts text into words."""
    with gzip.open(corpus, "rt", encoding="utf-8") if corpus.suffix == ".gz" else corpus.open(encoding="utf-8") as file:
        paragraphs = [line.strip().lower() for line in file if line.strip()]
    rules = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    rules.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    rules.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(True)])
    counts = Counter(word for text in paragraphs for word, _ in rules.pre_tokenizer.pre_tokenize_str(text))
    common = sorted(word for word, count in counts.items() if count >= least)
    words = [word for word in common if word.isascii() and word.isalpha()]
    others = [word for word in common if not any(letter.isalpha() for letter in word)]  # the same in both
    vocabulary = [*SPECIAL, *others, *words, *(word.translate(CIPHER) for word in words)]
    rules.model = models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]")
    rules.post_processor = processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", CLS)])
    return paragraphs, words, rules


def batches(
    stream: np.ndarray, n_shared: int, n_words: int, steps: int, parallel: float
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield pieces with some masked, what they were, where those are, and positions: each (BATCH, length)."""
    drawn = np.random.default_rng(0)
    for _ in range(steps):
        starts = drawn.integers(0, len(stream) - LENGTH, BATCH)
        pieces = stream[starts[:, None] + np.arange(LENGTH)]
        ciphered = np.where(pieces >= n_shared, pieces + n_words, pieces)
        positions = 1 + np.arange(LENGTH)
        if drawn.random() < parallel:
            pieces, positions = np.concatenate([pieces, ciphered], 1), np.tile(positions, 2)
        else:
            pieces = np.where(drawn.integers(0, 2, (BATCH, 1)), ciphered, pieces)
        share = drawn.random(pieces.shape)
        masked = (share < MASKED) & (pieces != UNKNOWN)
        read = np.where(masked & (share < 0.8 * MASKED), MASK, pieces)
        begin = np.full((BATCH, 1), CLS)
        columns = [
            np.concatenate([first, rest], 1) for first, rest in ((begin, read), (begin, pieces), (begin < 0, masked))
        ]
        yield *map(torch.from_numpy, columns), torch.from_numpy(np.concatenate([[0], positions])).expand(BATCH, -1)


def train_teacher(
    folder: Path, paragraphs: list[str], n_words: int, rules: Tokenizer, steps: int, parallel: float
) -> None:
    """Train a bilingual teacher on so many words of each language, and write it to a folder."""
    n_pieces = rules.get_vocab_size()
    stream = np.concatenate([text.ids for text in rules.encode_batch(paragraphs, add_special_tokens=False)])
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=n_pieces, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256,
            max_position_embeddings=LENGTH + 1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )  # fmt: skip
    embeddings = model.embeddings.word_embeddings.weight
    nn.init.normal_(embeddings, std=0.07)
    nn.init.normal_(model.embeddings.position_embeddings.weight, std=0.3)  # so that it soon sees what stands opposite
    head, bias = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.LayerNorm(64)), nn.Parameter(torch.zeros(n_pieces))
    parameters = [*model.parameters(), *head.parameters(), bias]
    adam = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    rate = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1, (step + 1) / 200) * (1 - step / steps) ** 0.5)
    texts = batches(stream, n_pieces - 2 * n_words, n_words, steps, parallel)
    for step, (read, pieces, masked, positions) in enumerate(texts):
        states = model(read, position_ids=positions).last_hidden_state[masked]
        loss = functional.cross_entropy(head(states) @ embeddings.T + bias, pieces[masked])
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        rate.step()
        if step % 200 == 0:
            print(f"step {step:,} of {steps:,}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(folder)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=rules, model_max_length=LENGTH + 1, **names).save_pretrained(folder)


def rotated(vectors: WordVectors, pairs: list[tuple[str, str]]) -> WordVectors:
    """Return vectors whose source words are turned so that these pairs are nearest (orthogonal Procrustes)."""
    rows = [
        [vectors.index[f"{language}:{word}"] for word in some]
        for language, some in zip(LANGUAGES, zip(*pairs, strict=True), strict=True)
    ]
    units = vectors.unit_matrix
    left, _, right = np.linalg.svd(units[rows[0]].T @ units[rows[1]])
    is_source = np.array([word.startswith(f"{SOURCE}:") for word in vectors.words])[:, None]
    return WordVectors(
        vectors.words, np.where(is_source, units @ left @ right, units), vectors.counts, vectors.segmentation
    )


def measure(
    folder: Path, corpus: Path, steps: int, parallel: float, least: int, objectives: tuple[str, ...]
) -> dict[str, Any]:
    """Train a teacher, encode, train word vectors by each objective, translate; return the figures of each."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    paragraphs, words, rules = words_of(corpus, least)
    if not (folder / "teacher").is_dir():
        train_teacher(folder / "teacher", paragraphs, len(words), rules, steps, parallel)
    figures: dict[str, Any] = {"words": len(words), "steps": steps, "parallel": parallel}
    figures["teacher_cpu_seconds"] = round(time.process_time() - began, 1)
    texts = [folder / f"{language}.txt" for language in LANGUAGES]
    for path, ciphered in zip(texts, (False, True), strict=True):
        lines = [text.translate(CIPHER) if ciphered else text for text in paragraphs]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    dictionary, cache = folder / f"{SOURCE}-{TARGET}.txt", folder / "cache"
    dictionary.write_text("".join(f"{word} {word.translate(CIPHER)}\n" for word in words), encoding="utf-8")
    settings = {"language": LANGUAGES, "mark_language": True, "layer": LAYER, "precision": "float32", "device": "cpu"}
    x2static.encode(folder / "teacher", [*texts], cache, **settings)
    (pairs,) = read_dictionaries(dictionary).values()
    shuffled = [pairs.pairs[row] for row in np.random.default_rng(0).permutation(len(pairs.pairs))]
    for objective, centred in product(objectives, (False, True)):
        name = objective + (", centred" if centred else "")
        options = {"objective": objective, "centre_languages": centred, "min_count": least, "device": "cpu"}
        vectors = x2static.train(cache, folder / name.replace(", ", "-"), **options)
        scores = score_translation(vectors, name, pairs)
        marked = {pair: [f"{of}:{word}" for of, word in zip(LANGUAGES, pair, strict=True)] for pair in shuffled}
        known = [pair for pair, both in marked.items() if vectors.index.keys() >= {*both}]
        half = len(known) // 2
        tested = Dictionary(SOURCE, TARGET, tuple(known[half:]))
        figures[name] = {
            "csls": [scores.score, scores.at_5],
            "cosine": [scores.cosine_at_1, scores.cosine_at_5],
            "covered": scores.covered,
            "chance": 1 / len(vectors.of_language(TARGET)),
            "half": score_translation(vectors, name, tested).score,
            "half, rotated": score_translation(rotated(vectors, known[:half]), name, tested).score,
        }
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where teacher, text, cache and vectors go")
    parser.add_argument("--corpus", type=Path, required=True, help="English text, one paragraph a line, perhaps .gz")
    parser.add_argument("--steps", type=int, default=10_000, help="of the teacher's training")
    parser.add_argument("--parallel", type=float, default=0.0, help="share of its batches with text and translation")
    parser.add_argument("--min-count", type=int, default=20, help="rarer words the teacher does not know")
    asked = parser.parse_args()
    objectives = ("negative-sampling", "views", "closed-form")
    figures = measure(asked.folder, asked.corpus, asked.steps, asked.parallel, asked.min_count, objectives)
    print(json.dumps({"benchmark": "bilingual", **figures}))


if __name__ == "__main__":
    main()
