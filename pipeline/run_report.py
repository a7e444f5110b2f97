"""The page of one run: what went into its vectors, what they cost, how good they are, how to cite them.

All of it is read from the run's record and vectors and, where it is still there, from the cache that the run names.
What is not known is said, never guessed.
"""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from x2static.durable.storage import folder_bytes
from x2static.machine.packages import package_version
from x2static.machine.screen import quantity
from x2static.pipeline.compare.report import content_words
from x2static.pipeline.evaluations.registry import EVALUATIONS, EvaluateConfig, runner
from x2static.pipeline.publish.card import PAPER
from x2static.pipeline.publish.provenance import Origin, find_origin
from x2static.pipeline.terminal import about, duration, size
from x2static.report.page import Page, Picture, Section
from x2static.report.pictures import losses
from x2static.report.table import Column, Table
from x2static.schemas.baseline import METHODS
from x2static.schemas.cache import kept_of
from x2static.schemas.manifest import Plan
from x2static.schemas.subwords import SUBWORDS
from x2static.schemas.vectors import MATRIX, RUN, SUBWORDS_RECORD, VOCABULARY, WordVectors

NEIGHBOURS = 5
SAMPLED = 5  # words of each band
MOST_FREQUENT = 1_000  # words of which the frequent ones are drawn, at most
MINUTES = frozenset({"classification"})  # tasks that take so long that they are scored when named alone
UNITS = {"sentence": "mean loss of a word (1 - cosine)"}  # of the loss, by objective; others have nats


class Scores(NamedTuple):
    """What the vectors came to on data."""

    tables: dict[str, list[Table]]  # by task
    figures: dict[str, dict[str, Any]]  # by task, as `x2static evaluate --json` has them


class RunReport:
    """A run: what is known of it, and its page."""

    def __init__(self, folder: Path, data: Path | None, tasks: Sequence[str]) -> None:
        """Read a run and, where there is data, score it.

        Raises X2StaticError: there are no finished vectors, they are damaged, or the data is.
        """
        self._folder, self.vectors = folder, WordVectors.load(folder)
        self._run = self.vectors.run
        configuration = self._run.get("configuration")
        self._configuration: dict[str, Any] = configuration if isinstance(configuration, dict) else {}
        self._baseline = METHODS.get(str(self._run.get("baseline")))
        self._texts = self._configuration.get("corpus") if self._baseline and self._baseline.reads_text else None
        if self._texts or self._configuration.get("vectors"):
            self.source = Origin("gave no more than its vocabulary" if self._configuration.get("cache") else "none")
        else:
            self.source = find_origin(self._run, folder)
        self.scores = score(self.vectors, data, tasks) if data is not None else None

    def page(self, out: Path) -> Page:
        """Return the page; `out` is where it will be, for the command that adds to it."""
        vectors, made_with = self.vectors, self._run.get("versions") or {}
        facts = {
            "vectors": f"{quantity(len(vectors), 'word')}, {quantity(vectors.dim, 'dimension')}{vectors.outside}",
            "method": self._method(),
            "made with": ", ".join(f"{name} {version}" for name, version in made_with.items()) or "not recorded",
            "this page": f"x2static {package_version('x2static')}, {datetime.now(UTC).date().isoformat()}",
        }
        settings = [[name, "none" if value is None else str(value)] for name, value in self._configuration.items()]
        columns = [Column("setting", "left"), Column("value", "left")]
        recorded = [Table(columns, settings, f"All settings, as {RUN} has them.")] if settings else []
        sections = [
            Section("What went in", facts=self._what_went_in()),
            Section("What it cost", facts=self._what_it_cost()),
            self._losses(),
            self._scores(out),
            neighbours_section(vectors),
            self._vocabulary(),
            Section("Settings", tables=recorded),
            Section("How to cite", self._whom_to_cite(), code=PAPER),
        ]
        return Page(f"Word vectors: {self._folder.resolve().name}", facts, sections)

    def _method(self) -> str:
        if baseline := self._run.get("baseline"):
            return "made elsewhere" if baseline == "load" else f"{baseline} (x2static baseline)"
        return f"X2Static, {self._configuration['objective']}" if "objective" in self._configuration else "not recorded"

    def _what_went_in(self) -> dict[str, str]:
        """Return corpus and teacher with their licences, from the cache, else from the record of the run."""
        source, configuration, recorded = self.source, self._configuration, self._run.get("cache") or {}
        facts = {}
        if source.note:
            facts["cache"] = source.note
        for number, plan in enumerate(source.plans, 1):
            corpus = f"corpus {number}" if len(source.plans) > 1 else "corpus"
            facts[corpus] = _corpus(plan)
            facts[f"{corpus}'s licence"] = plan.licence or "not known to x2static"
        if source.manifest is not None:
            encoding, held = source.manifest.encoding, source.held
            facts["paragraphs"] = kept_of(held, encoding.min_sentences, encoding.min_characters)
            facts["contexts"] = (
                f"{held['contexts']:,} {'runs of words' if encoding.context_words else 'sentences'}, read a "
                f"{encoding.context} at a time; language {encoding.language}"
            )
            facts["words"] = f"{held['words']:,}"
        elif self._texts:
            facts["corpus"] = ", ".join(map(str, self._texts))
        elif configuration.get("vectors"):
            facts["file"] = str(configuration["vectors"])
        reads_teacher = self._baseline is None or "model" in self._baseline.reads
        if reads_teacher and (teacher := recorded.get("teacher")):
            revision = f", revision {recorded['revision']}" if recorded.get("revision") else ""
            facts["teacher"] = f"{teacher}{revision}"
            if source.manifest is not None:
                window = f"{encoding.computed}, windows of {encoding.window:,} pieces"
                facts["teacher"] += f", layer {encoding.layer}, {encoding.dim:,} dimensions, {window}"
            facts["teacher's licence"] = "not recorded; see its model card"
        if text := self._run.get("outside_text"):
            facts["text beside the corpus"] = f"{text['name']}, licence: {text['licence']}"
        return facts

    def _what_it_cost(self) -> dict[str, str]:
        """Return seconds, speeds and bytes, of the cache and of the training."""
        run, source, facts = self._run, self.source, {}
        if source.path is not None:  # also of a method that reads but its words: they would not be there without
            pieces = f"{source.held['teacher_tokens']:,} pieces, read once"
            facts["teacher"] = f"{pieces}; a cache does not keep how long that took"
            facts["cache"] = size(folder_bytes(source.path))
        if "seconds" in run:
            where = f" on {run['device']}" if "device" in run else ""
            facts["training"] = duration(run["seconds"]) + where
            facts["training"] += f", {quantity(run['threads'], 'thread')}" if run.get("threads") else ""
        if run.get("words_per_second"):
            facts["speed"] = f"{run['words_per_second']:,} words/s, {run['words']:,} words read"
        if run.get("steps"):
            epochs, targets = quantity(run["epochs"], "epoch"), quantity(run["targets"], "target")
            facts["steps"] = f"{run['steps']:,} in {epochs}, {targets}"
        if subwords := run.get(SUBWORDS_RECORD):
            took = f", in {duration(subwords['seconds'])}" if "seconds" in subwords else ""
            facts["subwords"] = f"{quantity(subwords['ngrams'], 'character n-gram')}{took}"
        names = {"vectors": MATRIX, "vocabulary": VOCABULARY, "subwords": SUBWORDS}
        sizes = {what: self._folder / name for what, name in names.items() if (self._folder / name).is_file()}
        facts["files"] = ", ".join(f"{what} {size(file.stat().st_size)}" for what, file in sizes.items())
        return facts

    def _losses(self) -> Section:
        title, values = "Loss", self._run.get("losses") or []
        unit = UNITS.get(str(self._configuration.get("objective")), "mean loss of a target (nats)")
        if not values:
            return Section(title, listed=["None: these vectors were not learnt in steps, or nobody recorded it."])
        if len(values) == 1:
            return Section(title, listed=[f"One epoch, {unit}: {values[0]:.3f}. A curve needs two."])
        caption = f"The {unit} in each of {len(values)} epochs, from {values[0]:.3f} to {values[-1]:.3f}."
        return Section(title, pictures=[Picture("losses", caption, losses([("this run", values)], unit=unit))])

    def _scores(self, out: Path) -> Section:
        if self.scores is None:
            command = shlex.join(
                ["x2static", "report", str(self._folder), "--out", str(out), "--data", "DATA", "--force"]
            )
            listed = ["None here. With a folder of evaluation data, this command adds them:"]
            return Section("Scores", listed=listed, code=command)
        tables = []
        for task, of_task in self.scores.tables.items():
            title = task.capitalize().replace("-", " ")
            tables += [one._replace(caption=": ".join([title, *one.notes[:1]]), notes=one.notes[1:]) for one in of_task]
        known = "Words that the vectors do not know are left out, and counted."
        return Section("Scores", [known], tables=tables)

    def _vocabulary(self) -> Section:
        counts, words = self.vectors.counts, self.vectors.words
        total, read = int(counts.sum()), self.source.held.get("words", 0)
        facts = {"words": f"{len(words):,}"}
        if total:
            share = f", {total / read:.1%} of the words of the corpus" if read >= total else ""
            facts["occurrences"] = f"{total:,}{share}"
            facts["smallest count"] = f"{int(counts.min()):,}"
        subwords = self._run.get(SUBWORDS_RECORD)
        facts["unknown words"] = "have vectors of subwords" if subwords else "have no vectors"
        ranks = sorted({min(10**power, len(words)) for power in range(len(str(len(words))) + 1)} - {0})
        so_far = np.cumsum(counts)
        rows = []
        for rank in ranks:
            share = f"{so_far[rank - 1] / total:.1%}" if total else "not known"
            rows.append([f"{rank:,}", words[rank - 1], int(counts[rank - 1]) if total else "not known", share])
        columns = [Column("rank"), Column("word", "left"), Column("occurrences"), Column("share")]
        caption = "Words of some ranks, with the share that they and all more frequent ones have of the occurrences."
        return Section("Vocabulary", tables=[Table(columns, rows, caption)], facts=facts)

    def _whom_to_cite(self) -> list[str]:
        if "baseline" in self._run:
            return [f"Cite the authors of these vectors' method ({self._method()}). That of X2Static is:"]
        return ["If you use these vectors in research, cite the method, and teacher and corpus as their authors ask."]


def _corpus(plan: Plan) -> str:
    """Return the name of a corpus, of a file without its folder, and what was taken of it."""
    taken = [f"the first {quantity(plan.limit, 'paragraph')}"] if plan.limit is not None else []
    taken += [f"a sample of {plan.sample:.2%}, seed {plan.seed}"] if plan.sample is not None else []
    taken += [str(sampled) for sampled in plan.sampled]
    name = plan.corpus if "://" in plan.corpus else Path(plan.corpus).name
    return f"{name} ({', '.join(taken)})" if taken else name


def score(vectors: WordVectors, data: Path, tasks: Sequence[str]) -> Scores:
    """Score vectors on tasks: those that are named, else all that find a folder of theirs in the data but MINUTES.

    Raises X2StaticError: the data of a task is missing or damaged.
    """
    there = [task for task in EVALUATIONS if (data / EVALUATIONS[task].data.folder).is_dir() and task not in MINUTES]
    scores, config = Scores({}, {}), EvaluateConfig(data)
    name = f"score{vectors.outside}"
    for task in tasks or there or ["word-similarity"]:
        with about(task):
            results = runner(task)({name: vectors}, config)
        scores.tables[task], scores.figures[task] = results.tables, results.vectors[name]
    return scores


def neighbours_section(vectors: WordVectors) -> Section:
    """Show the nearest neighbours of words drawn from the frequent, the middle and the rare ones of a vocabulary."""
    heads = [Column("word", "left"), Column("occurrences")]
    heads += [Column(str(place + 1), "left") for place in range(NEIGHBOURS)]
    tables = []
    for band, words in sampled_words(vectors.words).items():
        rows: list[list[str | int]] = []
        for word in words:
            near = [f"{other} {cosine:.2f}" for other, cosine in vectors.most_similar(word, topn=NEIGHBOURS)]
            rows.append([word, int(vectors.counts[vectors.index[word]]), *near, *[""] * (NEIGHBOURS - len(near))])
        tables += [Table(heads, rows, band)] if rows else []
    how = "Nearest by cosine among all words. The words are drawn; the same vocabulary draws the same ones."
    return Section("Neighbours", [how], tables=tables)


def sampled_words(words: Sequence[str]) -> dict[str, list[str]]:
    """Return some words of each band of a vocabulary that is sorted by count, in its order; no word twice.

    Signs and figures say little: they are drawn where a band has nothing else, and the very most frequent words are
    passed over.
    """
    tenth, draw = max(1, len(words) // 10), np.random.default_rng(0)
    middle = (len(words) - tenth) // 2
    frequent = min(tenth, MOST_FREQUENT)
    bands = {
        f"Frequent words, of the first {frequent:,}": content_words(words[:frequent]),
        "Of the middle tenth": _of_letters(words[middle : middle + tenth]),
        "Rare words, of the last tenth": _of_letters(words[-tenth:]),
    }
    sampled: dict[str, list[str]] = {}
    seen: set[str] = set()
    for band, of_band in bands.items():
        places = sorted(draw.choice(len(of_band), min(SAMPLED, len(of_band)), replace=False)) if of_band else []
        sampled[band] = [of_band[place] for place in places if of_band[place] not in seen]
        seen.update(sampled[band])
    return sampled


def _of_letters(words: Sequence[str]) -> Sequence[str]:
    return [word for word in words if word.isalpha() and len(word) > 1] or words
