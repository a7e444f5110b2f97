"""The model card of word vectors: README.md, as the Hugging Face hub shows it and reads the front matter.

Names, settings and licences in run.json are other people's, so that none is markup: `plain_markdown` for Markdown, and
in the front matter only what is a plain id.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from x2static.machine.screen import quantity
from x2static.pipeline.publish.provenance import HUB_ID, Provenance, Source, without_folders
from x2static.report.table import Column, Table, plain_markdown
from x2static.schemas.segmentation import MARK
from x2static.schemas.vectors import RUN, WordVectors

README = "README.md"
NOT_STATED = "not stated"
UNKNOWN = "unknown"  # the hub's id for it
PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")  # of a licence, or a language
# Settings that say where something is, or how the work was done, and nothing of the vectors.
OF_THE_WORK = {"cache", "out", "buffer_megabytes", "checkpoint_minutes", "device", "partial", "threads"}
PAPER = """@inproceedings{gupta-jaggi-2021-obtaining,
    title = "Obtaining Better Static Word Embeddings Using Contextual Embedding Models",
    author = "Gupta, Prakhar and Jaggi, Martin",
    booktitle = "Proceedings of the 59th Annual Meeting of the Association for Computational Linguistics and the 11th
        International Joint Conference on Natural Language Processing (Volume 1: Long Papers)",
    year = "2021",
    pages = "5241--5253",
    url = "https://aclanthology.org/2021.acl-long.408/",
}"""
USE = "compare words, look for texts by the mean of their words, give features to a classifier, study a vocabulary"
LIMITS = """- A word has one vector: its meanings share it, and the words around it do not change it.
- {unknown}
- They carry what the teacher and the corpus carry, prejudice too. Do not decide about people by them."""
NO_BIAS = """Not checked. `x2static data fetch weat` gets word lists; then `x2static evaluate FOLDER --task bias` checks
the vectors, and `x2static push` puts the result here."""


@dataclass(frozen=True)
class Facts:
    """What a card says beside what run.json has."""

    provenance: Provenance
    licence: str | None = None  # of the vectors, by its id on the hub; None where nobody says it
    files: Sequence[str] = ()  # the names of those beside the card
    scores: Sequence[Table] = ()
    bias: Table | None = None


def model_card(vectors: WordVectors, name: str, facts: Facts) -> str:
    """Return the README.md of vectors that are `name`, OWNER/NAME, on the hub."""
    teacher, run = facts.provenance.teacher, vectors.run
    baseline = f", by its baseline {plain_markdown(str(run['baseline']))}" if "baseline" in run else ""
    of_teacher = f" distilled from {plain_markdown(teacher.name)}" if teacher else ""
    unknown = "A word outside the vocabulary has no vector."
    if run.get("subwords"):
        unknown = 'A word outside the vocabulary has a vector by its spelling alone (`unknown="subwords"`).'
    size = f"{quantity(len(vectors), 'word')}, {quantity(vectors.dim, 'dimension')}."
    if isinstance(debias := run.get("debias"), Mapping):
        words = plain_markdown(f"{debias.get('words')}, by {debias.get('method')}")
        size += f"\n\nThese are not the vectors as they were trained: a bias was taken out of them ({words})."
    sections = {
        "How to use": _snippets(vectors, name, facts.files),
        "Teacher": _lines_of("model", [teacher] if teacher else []) or "Not recorded, or none.",
        "Corpus": (_lines_of("text", facts.provenance.corpora) or "Not recorded.") + _word_count(run),
        "Licences": _licences(run, facts),
        "Settings": _settings(run),
        "Scores": "\n\n".join(table.markdown() for table in facts.scores),
        "Intended use and limits": f"To {USE}.\n\n{LIMITS.format(unknown=unknown)}",
        "Bias check": facts.bias.markdown() if facts.bias else NO_BIAS,
        "How to cite": _citation(run),
    }
    title = plain_markdown(name.rpartition("/")[2])
    what = f"Static word vectors{of_teacher}, made with x2static{baseline}: one vector a word, looked up, not computed."
    body = "\n\n".join(f"## {head}\n\n{text}" for head, text in sections.items() if text)
    return f"{_front_matter(facts)}\n\n# {title}\n\n{what} {size}\n\n{body}\n"


def _front_matter(facts: Facts) -> str:
    """Return the YAML that the hub reads. A JSON string of a plain id is one in YAML, too."""
    provenance, tags = facts.provenance, ["static-embeddings", "word-vectors", "word-embeddings", "x2static"]
    if "modules.json" in facts.files:
        tags.append("sentence-transformers")
    teacher = [provenance.teacher] if provenance.teacher else []
    fields: dict[str, str | list[str] | None] = {
        "language": _languages(provenance.language),
        "license": _plain(facts.licence) or UNKNOWN,
        "library_name": "x2static",
        "tags": tags,
        "base_model": _ids(teacher),
        "datasets": _ids(provenance.corpora),
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items() if value]
    return "\n".join(["---", *lines, "---"])


def _languages(text: str | None) -> str | list[str] | None:
    """Return a language, or those of "de+en"."""
    several = [code for part in (text or "").split("+") if (code := _plain(part))]
    return several if len(several) > 1 else _plain(text)


def _plain(text: str | None) -> str | None:
    return text if text and PLAIN_ID.fullmatch(text) else None


def _ids(sources: Sequence[Source]) -> list[str]:
    """Return the ids on the hub of those that have one."""
    return list(dict.fromkeys(source.hub for source in sources if source.hub and HUB_ID.fullmatch(source.hub)))


def _snippets(vectors: WordVectors, name: str, files: Sequence[str]) -> str:
    """Return how the vectors are used from Python, by what is in the folder."""
    # The longest of the frequent ones has a meaning of its own, where the most frequent is "which".
    marks = rf"({'|'.join(vectors.languages)}):" if vectors.languages else ""
    plain = (word for word in vectors.words[:300] if re.fullmatch(f"{marks}[a-z]{{3,12}}", word))
    word = max(plain, key=len, default="word")
    lines = ["from x2static import WordVectors", "", f'vectors = WordVectors.from_pretrained("{name}")']
    lines += [f'vectors["{word}"]  # ({vectors.dim},) float32', f'vectors.most_similar("{word}")']
    if vectors.segmentation is not None:
        language = f', language="{word.partition(MARK)[0]}"' if marks and MARK in word else ""
        lines.append(f'vectors.encode(["The mean of the words of a text.", "And of another."]{language})')
    ours = not files or RUN in files  # else it is a folder that `export` has made for another tool
    parts = [_code("`pip install 'x2static[hub]'`", *lines)] if ours else []
    if "modules.json" in files:
        lines = ["from sentence_transformers import SentenceTransformer", ""]
        lines += [f'model = SentenceTransformer("{name}")', 'model.encode(["The mean of the words of a text."])']
        parts.append(_code("With sentence-transformers (model2vec reads the same folder):", *lines))
    if "meta.json" in files:
        lines = ["import spacy", "", f'spacy.load("{name}")("{word}")[0].vector']
        parts.append(_code("With spaCy:", *lines))
    if ours:
        lines = ["from gensim.models import KeyedVectors", "", "keyed = KeyedVectors(vectors.dim)"]
        lines += ["keyed.add_vectors(vectors.words, vectors.matrix)", f'keyed.most_similar("{word}")']
        parts.append(_code("In gensim, with the `vectors` from above:", *lines))
    return "\n\n".join(parts)


def _code(before: str, *lines: str) -> str:
    return "\n".join([before, "", "```python", *lines, "```"])


def _lines_of(kind: str, sources: Sequence[Source]) -> str:
    """Return a line for each teacher or corpus; a name at its beginning could begin a list or a heading."""
    lines = []
    for source in sources:
        link = f" ({source.hub} on the hub)" if source.hub and source.hub != source.name else ""
        commit = f", commit {source.revision}" if source.revision else ""
        lines.append(f"- {kind}: " + plain_markdown(f"{source.name}{link}{commit}"))
    return "\n".join(lines)


def _word_count(run: Mapping[str, Any]) -> str:
    words = run.get("words")
    return f"\n\n{words:,} words of it were read." if isinstance(words, int) else ""


def _licences(run: Mapping[str, Any], facts: Facts) -> str:
    rows = [("these vectors", facts.licence)]
    teacher = facts.provenance.teacher
    rows += [(f"the teacher, {teacher.name}", teacher.licence)] if teacher else []
    rows += [(f"the corpus, {corpus.name}", corpus.licence) for corpus in facts.provenance.corpora]
    if isinstance(text := run.get("outside_text"), Mapping):
        rows.append((f"the dictionary, {text.get('name')}", str(text.get("licence"))))
    table = Table([Column("what", "left"), Column("licence", "left")], [(one, two or NOT_STATED) for one, two in rows])
    return f'{table.markdown()}\n\n"{NOT_STATED}": whoever sent this did not say it; ask before you rely on one.'


def _settings(run: Mapping[str, Any]) -> str:
    """Return a table of the settings that are set, and the versions of what made the vectors."""
    settings, versions = run.get("configuration"), run.get("versions")
    rows = []
    for name, value in settings.items() if isinstance(settings, Mapping) else ():
        if name not in OF_THE_WORK and value not in (None, [], ()):
            rows.append((str(name), _setting_text(value)))
    table = Table([Column("setting", "left"), Column("value", "left")], rows).markdown() if rows else "Not recorded."
    made = versions.items() if isinstance(versions, Mapping) else ()
    packages = plain_markdown(", ".join(f"{package} {version}" for package, version in made))
    return f"{table}\n\nMade with {packages}." if packages else table


def _setting_text(value: Any) -> str:
    """Return a setting for people, of paths the last part."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_setting_text, value))
    return without_folders(value) if isinstance(value, str) else json.dumps(value)


def _citation(run: Mapping[str, Any]) -> str:
    other = "A baseline is not the method of this paper: cite the baseline's own paper, too.\n\n"
    return f"{other if 'baseline' in run else ''}```bibtex\n{PAPER}\n```"
