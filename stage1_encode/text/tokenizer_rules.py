"""A teacher's rules for cutting text: those of its folder's tokenizer.json, mended where they contradict themselves.

The transformers library builds the tokenizer of the class that tokenizer_config.json names, and may overrule the file
without a word; what is hashed is what runs here. Both cut the same fixed texts, and a difference is said and recorded.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_json

TOKENIZER_JSON = "tokenizer.json"
# Where sentence-transformers keeps what it does before its Transformer; the first that is there counts.
SENTENCE_CONFIGS = [f"sentence_{kind}_config.json" for kind in "bert roberta distilbert camembert albert".split()]
SENTENCE_CONFIGS += ["sentence_xlm-roberta_config.json", "sentence_xlnet_config.json"]
CHANCE = ("dropout", "alpha", "nbest_size")  # of a BPE, and of a Unigram: a text has other pieces each time

# What tokenizers treat differently: case, accents (composed or not), spaces, digits, marks, scripts, emoji, long words.
PROBES = (
    "The quick brown Fox JUMPED over the lazy dog. McDonald's iPhone, don't, I'LL, we’ve; naïve café CAFÉ Ångström",
    "  two  spaces   three\tand a tab\nand a line \u00a0no break\u3000wide\u200bnone \r\n\r\n  end  ",
    "1234567890 3.14 1,000,000 2nd 50% $9.99 (a+b)=c² ½ ①② snake_case a/b http://x.org/?q=1&r=2 #tag... -- — “q” ?!",
    "Straße GRÖSSE ẞ Çelik İstanbul ılık IŞIK Zażółć gęślą Đà Nẵng e\u0301te\u0301 n\u0303 \ufb01ne Ⅳ \U0001d401old",
    "Москва ЁЛКА ёлка ΟΔΥΣΣΕΑΣ Οδυσσέας עולם שָׁלוֹם مرحبا بِالعَالَمِ ۱۲۳ हिन्दी भाषा ภาษาไทย ქართული Հայերեն",
    "日本語の文章です。カタカナ \uff76\uff80 中文字符\uff0c繁體 안녕하세요 한국어 \u1112\u1161\u11ab \uff26\uff35",
    "👩\u200d👩\u200d👧 🇫🇷 😀👍🏽 ❤\ufe0f \ufffd\x01\x7f",
    *("x" + "ab" * half for half in (10, 25, 45, 60)),
    "word",
    " word",
    "",
)

ALPHABET = "The five boxing wizards jump quickly 0123456789"
MOST_GROWTH = 20  # times; a single character of Unicode's compatibility forms becomes 18

logger = logging.getLogger(__name__)


@contextmanager
def reported(folder: Path, what: str) -> Iterator[None]:
    """Turn what a library raises over a part of a model's folder into one line, the panic of one in Rust too.

    A panic is no `Exception`, and prints a report of its own, past Python: standard error is shut meanwhile.
    """
    with ExitStack() as restoring:
        with suppress(OSError):  # it is closed
            kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            if sys.stderr:
                sys.stderr.flush()
            os.dup2(nowhere, 2)
            os.close(nowhere)
            restoring.callback(os.close, kept)
            restoring.callback(os.dup2, kept, 2)
        try:
            yield
        except (X2StaticError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            raise loading_error(folder, what, error) from error


def loading_error(folder: Path, what: str, error: BaseException) -> X2StaticError:
    """Return the error for what (the model, or a part of it) transformers does not load from a model's folder."""
    if "trust_remote_code" in str(error):
        return needs_code(folder, what, "named in its configuration")
    said = " ".join(str(error).split()) or type(error).__name__
    return X2StaticError(f"model {folder}: {what} cannot be loaded: {said[:300]}")


def needs_code(folder: Path, what: str, named: str) -> X2StaticError:
    """Return the error for what needs Python code that was not allowed to run; `named` is where it is named."""
    code = ", ".join(path.name for path in sorted(folder.glob("*.py"))) or named
    return X2StaticError(
        f"model {folder}: {what} needs Python code of its own ({code}); read it, and if it may run here, allow it "
        "with --trust-remote-code"
    )


def read_rules(folder: Path) -> Tokenizer | None:
    """Return the tokenizer of a folder's tokenizer.json, without truncation and padding; None where there is none.

    Raises X2StaticError: it is damaged, or makes hundreds of characters of one.
    """
    path = folder / TOKENIZER_JSON
    if not path.is_file():
        return None
    with reported(folder, f"its {TOKENIZER_JSON}"):
        rules = Tokenizer.from_buffer(path.read_bytes())
        rules.no_truncation()
        rules.no_padding()
        grown = len(rules.normalizer.normalize_str(ALPHABET)) if rules.normalizer else 0
    if grown > MOST_GROWTH * len(ALPHABET):
        why = f"the normalizer of its {TOKENIZER_JSON} makes {grown} characters of {len(ALPHABET)}"
        raise X2StaticError(f"model {folder}: {why}; no text can be read so")
    return rules


def folder_rules(folder: Path, own: Tokenizer | None, library: Tokenizer) -> tuple[Tokenizer, str]:
    """Return the rules by which a folder's text is cut, and how they differ from `library`, the transformers library's.

    They are `own`, those of tokenizer.json, or `library` itself where there is none, without chance, with the special
    tokens that the file names, and in lower case where sentence-transformers is told so. The differences, "" for none,
    are part of the encoding. Raises X2StaticError: they do not work, or cannot be.
    """
    rules, name = own or library, f"its {TOKENIZER_JSON}" if own else "its tokenizer"
    with reported(folder, name):
        chances = _without_chance(rules)
        mended = _mend_special_tokens(folder, rules)
        ours = _pieces(rules)
    with reported(folder, "its tokenizer"):
        their_chances = _without_chance(library) if own else chances
        theirs = _pieces(library)
    for chance in chances:
        logger.warning("model %s: %s cuts text by chance (%s); this is switched off", folder, name, chance)
    if mended:
        why = "puts special tokens around a text with ids of another vocabulary"
        logger.warning("model %s: %s %s; by their names, %s", folder, name, why, ", ".join(mended))
    pieces = {piece for bare, _ in ours for piece, _ in bare}
    if len(pieces) < 2:
        raise X2StaticError(f"model {folder}: {name} cuts every text into {'the same' if pieces else 'no'} pieces")
    differences = [f"no {chance.split()[0]}" for chance in their_chances]
    if ours != theirs:
        differences.append(TOKENIZER_JSON)
        if not mended or [bare for bare, _ in ours] != [bare for bare, _ in theirs]:
            why = "tokenizer_config.json asks transformers for other pieces than tokenizer.json"
            logger.warning(
                "model %s: %s (%s); tokenizer.json is followed", folder, why, _first_difference(ours, theirs)
            )
    if sentence_settings(folder).get("do_lower_case") and _lower_cased(rules, folder, ours):
        differences.append("lower case")
    return rules, ", ".join(differences)


Pieces = list[tuple[list[tuple[int, tuple[int, int]]], list[int]]]


def _pieces(rules: Tokenizer) -> Pieces:
    """Return, for each probe, its pieces with their places, and the ids with special tokens."""
    bare = [rules.encode(text, add_special_tokens=False) for text in PROBES]
    whole = [rules.encode(text).ids for text in PROBES]
    return [(list(zip(one.ids, one.offsets, strict=True)), ids) for one, ids in zip(bare, whole, strict=True)]


def _first_difference(ours: Pieces, theirs: Pieces) -> str:
    for text, (bare, ids), (other, other_ids) in zip(PROBES, ours, theirs, strict=True):
        for number, (one, two) in enumerate(zip(bare, other, strict=False)):
            if one != two:
                return f"piece {number} of {text[:20]!r}... is {one[0]} and not {two[0]}, or stands elsewhere"
        if len(bare) != len(other):
            return f"{len(bare)} and not {len(other)} pieces of {text[:20]!r}..."
        if ids != other_ids:
            return f"special tokens {ids[:2]}...{ids[-2:]} and not {other_ids[:2]}...{other_ids[-2:]} around a text"
    return "none"


def _without_chance(rules: Tokenizer) -> list[str]:
    """Switch random choices off, and return what they were."""
    chances = [f"{name} {value}" for name in CHANCE if (value := getattr(rules.model, name, None))]
    for name in CHANCE:
        if hasattr(rules.model, name):
            setattr(rules.model, name, None)
    return chances


def _mend_special_tokens(folder: Path, rules: Tokenizer) -> list[str]:
    """Give the special tokens around a text the ids that their names have in the vocabulary; return what was mended.

    A vocabulary that was cut down leaves those of the whole one behind. Raises X2StaticError: there is no such name, or
    it is no text with special tokens around it.
    """
    processor: Any = rules.post_processor
    if processor is None:
        return []
    state = json.loads(processor.__getstate__())
    templates = [one["single"] for one in (state, *state.get("processors", ())) if "single" in one]
    if any(sum("Sequence" in part for part in template) != 1 for template in templates):
        why = f"the post_processor of its {TOKENIZER_JSON} does not put special tokens around a text"
        raise X2StaticError(f"model {folder}: {why}: its template does not hold the text once")
    mended = []
    for token, ids, at in _special_tokens(state):
        known = rules.token_to_id(token)
        if known is None:
            why = f"puts {token} around each text (id {ids[at]}), a piece that its vocabulary does not have"
            raise X2StaticError(f"model {folder}: its {TOKENIZER_JSON} {why}; save it with its own special tokens")
        if known != ids[at]:
            mended.append(f"{token} is {known} and not {ids[at]}")
            ids[at] = known
    if mended:
        processor.__setstate__(json.dumps(state).encode())
        rules.post_processor = processor
    return mended


def _special_tokens(state: Any) -> Iterator[tuple[str, list[Any], int]]:
    """Yield each special token of a post-processor: its name, and the list and place in it where its id stands."""
    if state["type"] == "Sequence":
        for one in state["processors"]:
            yield from _special_tokens(one)
    for key in {"sep", "cls"} & state.keys():
        yield state[key][0], state[key], 1
    around = [part["SpecialToken"]["id"] for part in state.get("single", ()) if "SpecialToken" in part]
    for name in dict.fromkeys(around):
        special = state["special_tokens"].get(name, {"tokens": [name], "ids": [None]})
        yield from ((token, special["ids"], at) for at, token in enumerate(special["tokens"]))


def json_object(folder: Path, name: str) -> dict[str, Any]:
    """Return what a JSON file of a model's folder holds, nothing where it is not there. Raises X2StaticError."""
    if not (folder / name).is_file():
        return {}
    try:
        settings = read_json(folder / name)
    except X2StaticError as error:
        raise X2StaticError(f"model {folder}: its {name} cannot be loaded: {error}") from error
    if not isinstance(settings, dict):
        problem = f"its {name} cannot be loaded: a JSON object is expected, not a {type(settings).__name__}"
        raise X2StaticError(f"model {folder}: {problem}")
    return settings


def sentence_settings(folder: Path) -> dict[str, Any]:
    """Return what sentence-transformers is told about a folder's Transformer, nothing where it is told nothing."""
    return next((settings for name in SENTENCE_CONFIGS if (settings := json_object(folder, name))), {})


def _lower_cased(rules: Tokenizer, folder: Path, pieces: Pieces) -> bool:
    """Let rules begin with small letters, as sentence-transformers does it; return whether it changes any piece."""
    before: Any = rules.normalizer
    steps = [before] if before else []
    if isinstance(before, normalizers.Sequence):
        steps = [before[place] for place in range(len(before))]
    if any(isinstance(step, normalizers.Lowercase) for step in steps):
        return False
    rules.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
    if _pieces(rules) == pieces:
        rules.normalizer = before
        return False
    logger.info("model %s: text is read in lower case, as its sentence-transformers configuration says", folder)
    return True
