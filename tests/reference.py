"""Stage one computed the slow way, from DESIGN alone: one text at a time, plain loops, float32, no batches.

It shares no code with stage1_encode. The word segmentation rules are read from the cache, because the stored rules
are the contract; everything else is computed here.
"""

import copy
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencex
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from tests.teachers import Teacher
from x2static.schemas.segmentation import WordSegmentation

Vector = npt.NDArray[np.float32]
STOPS = (".", "?", "!")


@dataclass(frozen=True)
class Row:
    """One context."""

    paragraph: int  # number of its paragraph among those that the filter kept, within the unit
    words: list[str]  # its target words, in text order
    vector: Vector  # (dim,) float32


Limits = tuple[int, int]  # paragraphs with fewer sentences or fewer characters are dropped


class Reader:
    """A teacher that reads one list of pieces at a time, in float32, with the plainest attention."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        self.tokenizer = AutoTokenizer.from_pretrained(teacher.folder)
        self.plain = _without_special_tokens(teacher.folder)
        self.model = AutoModel.from_pretrained(teacher.folder, dtype=torch.float32, attn_implementation="eager")
        if hasattr(self.model, "encoder") and hasattr(self.model, "decoder"):
            self.model = self.model.encoder
        self.model.eval()
        self.layer: int | None = None  # the last one
        self.n_tokens = 0  # pieces read so far, special tokens included

    def at(self, layer: int) -> "Reader":
        """Return the same reader with the states of another layer."""
        other = copy.copy(self)
        other.layer = layer
        return other

    def states(self, ids: list[int]) -> Vector:
        """Return the layer's states of a list of piece ids, (len(ids), dim)."""
        assert 0 < len(ids) <= self.teacher.window
        self.n_tokens += len(ids)
        with torch.no_grad():
            outputs = self.model(input_ids=torch.tensor([ids]), output_hidden_states=self.layer is not None)
        states = outputs.last_hidden_state if self.layer is None else outputs.hidden_states[self.layer]
        return states[0].numpy()

    def pieces(self, text: str) -> list[str]:
        """Return the pieces of a text as `ids` has them, begin and end tokens included."""
        return self.tokenizer.convert_ids_to_tokens(self.ids(text))

    def ids(self, text: str) -> list[int]:
        """Return the ids of "[CLS] text [SEP]": begin and end tokens stand in the text, as in the paper's code."""
        names = self.tokenizer.convert_ids_to_tokens
        whole = " ".join([*names(list(self.teacher.begin)), text, *names(list(self.teacher.end))])
        return self.tokenizer(whole, add_special_tokens=False)["input_ids"]

    def plain_pieces(self, text: str) -> list[tuple[int, int]]:
        """Return (id, position of its last character) of each piece of a text in which nothing is special."""
        encoding = self.plain.encode(text, add_special_tokens=False)
        return [(piece, stop - 1) for piece, (_, stop) in zip(encoding.ids, encoding.offsets, strict=True)]


def _without_special_tokens(folder: Path) -> Tokenizer:
    """Return the tokenizer with special tokens that no text can name; added ones that are not special stay text."""
    rules = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    rules |= {"post_processor": None, "truncation": None, "padding": None}
    special = [token["content"] for token in rules["added_tokens"] if token["special"]]
    names = {token: f"\0 no text says {token}" for token in special}
    for token in rules["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = rules["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [(names.get(piece, piece), score) for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(piece, piece): number for piece, number in model["vocab"].items()}
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    return Tokenizer.from_str(json.dumps(rules))


def mean(states: list[Vector]) -> Vector:
    """Return the mean of a list of states, (dim,) float32."""
    return sum(states, np.zeros_like(states[0])) / np.float32(len(states))


def assert_close(vector: npt.NDArray[np.floating], expected: Vector, what: object = "") -> None:
    """Check a stored vector: float16 rounds a component by at most 4.9e-4 of itself, so by less of the whole length."""
    length = float(np.linalg.norm(expected))
    if length == 0:
        assert not vector.any(), f"{what}: zeros expected"
        return
    difference = float(np.abs(vector.astype(np.float32) - expected).max()) / length
    assert cosine(vector, expected) >= 0.9999, f"{what}: cosine {cosine(vector, expected)}"
    assert difference <= 1e-3, f"{what}: off by {difference} of the length"


def assert_apart(vector: npt.NDArray[np.floating], other: Vector) -> None:
    """Check that two vectors differ by two and a half times what `assert_close` lets pass, or more."""
    length = float(np.linalg.norm(other))
    assert float(np.abs(vector.astype(np.float32) - other).max()) > 2.5e-3 * length, "the input tells nothing apart"


def cosine(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    """Return the cosine of two vectors."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def assert_rows_equal(rows: list[Row], expected: list[Row]) -> None:
    """Check that rows hold the same words of the same paragraphs, and the same vectors up to float16."""
    assert [(row.paragraph, row.words) for row in rows] == [(row.paragraph, row.words) for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert_close(row.vector, other.vector, (row.paragraph, row.words[:8]))


def sentence_bounds(text: str) -> list[tuple[int, int]]:
    """Return where the sentences of a text start and stop, in characters."""
    found = sentencex.get_sentence_boundaries("en", text)
    bounds = [(sentence["start_index"], sentence["end_index"]) for sentence in found]
    # A character between two sentences would leave open whose piece it is; DESIGN does not say.
    assert all(stop == start for (_, stop), (start, _) in pairwise(bounds)), text
    return bounds


# --- the default mode ------------------------------------------------------------------------------------------------


def cut_windows(lengths: list[int], room: int) -> list[list[int]]:
    """Share the pieces of a text out to windows: for each window, the number of the sentence of each of its pieces.

    Of the pieces that each sentence has, and the room of a window, special tokens not counted.
    """
    windows: list[list[int]] = [[]]
    for sentence, length in enumerate(lengths):
        if len(windows[-1]) + length <= room:
            windows[-1] += [sentence] * length
            continue
        rest = length
        while rest > 0:  # it starts a window of its own, and goes on in others where it is longer than one
            windows.append([sentence] * min(rest, room))
            rest -= room
    return [window for window in windows if window]


def default_contexts(reader: Reader, text: str, bounds: list[tuple[int, int]]) -> list[Vector | None]:
    """Return the context vector of each sentence of a text that the teacher reads as one; None without pieces."""
    pieces = reader.plain_pieces(text)
    ids = [[piece for piece, last in pieces if start <= last < stop] for start, stop in bounds]
    in_order = [piece for sentence in ids for piece in sentence]
    assert in_order == [piece for piece, _ in pieces], "every piece lies in one sentence, in order"
    begin, end = list(reader.teacher.begin), list(reader.teacher.end)
    states: list[list[Vector]] = [[] for _ in bounds]
    taken = [0 for _ in bounds]
    for window in cut_windows([len(sentence) for sentence in ids], reader.teacher.room):
        inside = []
        for sentence in window:
            inside.append(ids[sentence][taken[sentence]])
            taken[sentence] += 1
        read = reader.states(begin + inside + end)
        for position, sentence in enumerate(window):
            states[sentence].append(read[len(begin) + position])
    return [mean(sentence) if sentence else None for sentence in states]


def default_rows(
    reader: Reader, paragraphs: list[str], rules: WordSegmentation, context: str, least: Limits = (0, 0)
) -> list[Row]:
    """Return the rows that DESIGN asks for without `--compat`."""
    rows, number = [], -1
    for line in paragraphs:
        text = line.strip()  # a paragraph is its line without the space around it
        bounds = sentence_bounds(text)
        if len(bounds) < least[0] or len(text) < least[1]:
            continue
        number += 1
        sentences = [text[start:stop] for start, stop in bounds]
        if context == "paragraph":
            vectors = default_contexts(reader, text, bounds)
        else:
            vectors = []
            for sentence in sentences:
                alone = sentence.strip()
                vectors += default_contexts(reader, alone, [(0, len(alone))])
        for sentence, vector in zip(sentences, vectors, strict=True):
            words = rules.split(sentence)
            if words and vector is not None:
                rows.append(Row(number, words, vector))
    return rows


# --- `--compat paper` ------------------------------------------------------------------------------------------------


def compat_sentences(words: list[str]) -> list[list[str]]:
    """Return the words up to and including each word that is a stop, and the rest."""
    sentences: list[list[str]] = [[]]
    for word in words:
        sentences[-1].append(word)
        if word in STOPS:
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def compat_ids(reader: Reader, ids: list[int], limit: int) -> list[int]:
    """Return what of a text's ids the teacher reads; the end token keeps its place, where there is one."""
    return ids if len(ids) <= limit else ids[: limit - 1] + list(reader.teacher.end)


def compat_spans(reader: Reader, pieces: list[str]) -> list[tuple[int, int]]:
    """Return the spans of a paragraph's pieces, before anything is cut off."""
    marks = [reader.teacher.gap + stop for stop in STOPS]
    bounds = [len(reader.teacher.begin)]
    for position, piece in enumerate(pieces):
        if piece in marks:
            bounds.append(position + 1)
    if bounds[-1] != len(pieces):
        bounds.append(len(pieces))
    return list(pairwise(bounds))


def compat_paragraph(reader: Reader, text: str) -> list[tuple[list[str], Vector]]:
    """Return (target words, vector) of each span of a paragraph that has targets."""
    words = text.lower().split()[:333]
    if not words:
        return []
    ids = reader.ids(" ".join(words))
    spans = compat_spans(reader, reader.tokenizer.convert_ids_to_tokens(ids))
    read = compat_ids(reader, ids, 500)
    states = reader.states(read)
    targets: dict[int, list[str]] = {}
    before = 0
    for word in words:
        targets.setdefault(before, []).append(word)
        if word in STOPS:
            before += 1
    rows = []
    for span in sorted(targets):
        if span >= len(spans):
            rows.append((targets[span], np.zeros(states.shape[1], np.float32)))
            continue
        start, stop = min(len(read) - 1, spans[span][0]), min(len(read), spans[span][1])
        rows.append((targets[span], mean(list(states[start:stop]))))
    return rows


def compat_rows(reader: Reader, paragraphs: list[str], context: str, least: Limits = (0, 0)) -> list[Row]:
    """Return the rows that DESIGN's table asks for under `--compat paper`."""
    rows, number = [], -1
    for line in paragraphs:
        text = line.strip()
        sentences = compat_sentences(text.lower().split())
        if max(len(sentences), len(sentence_bounds(text))) < least[0] or len(text) < least[1]:
            continue
        number += 1
        if context == "paragraph":
            found = compat_paragraph(reader, text)
        else:
            found = []
            for words in sentences:  # the mean over all that the teacher reads
                read = compat_ids(reader, reader.ids(" ".join(words)), 200)
                found.append((words, mean(list(reader.states(read)))))
        rows += [Row(number, words, vector) for words, vector in found]
    return rows
