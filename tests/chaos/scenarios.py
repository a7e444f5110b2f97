"""What is disturbed: commands, the state that each begins with, and what must be equal in the end."""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos.trouble import Call, read_notes
from tests.pipeline.data.conftest import Server, make_set
from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import paragraphs, write_lines
from tests.teachers import ADJECTIVES, NOUNS, VERBS, make_teacher

ENCODE = ("--min-sentences", "0", "--min-characters", "0", "--unit", "6", "--precision", "float32", "--device", "cpu")
FEW = ("--min-count", "2", "--device", "cpu")
TRAIN = (*FEW, "--batch-size", "8", "--checkpoint-minutes", "0", "--buffer-megabytes", "1")
WARM = (
    "x2static.pipeline.commands.baseline x2static.pipeline.commands.cache x2static.pipeline.commands.compare "
    "x2static.pipeline.commands.encode x2static.pipeline.commands.export x2static.pipeline.compare.comparison "
    "x2static.pipeline.compare.report x2static.stage1_encode.encode x2static.stage1_encode.repair "
    "x2static.stage1_encode.pools.word_sums x2static.stage2_train.trainer x2static.stage2_train.subwords "
    "x2static.pipeline.commands.import_ x2static.pipeline.commands.subwords x2static.stage1_encode.dictionary "
    "x2static.pipeline.commands.report x2static.pipeline.run_report x2static.pipeline.caches pooch "
    "gensim.models x2static.pipeline.evaluations.word_similarity transformers.models.bert.modeling_bert "
    "transformers.models.bert.tokenization_bert"
).split()
# Fields of records that the clock decides, the seal over them, and the hash of a run.json in a comparison's scores.
VOLATILE = {"seconds", "words_per_second", "data_wait", "resumed", "units_found", "xxh3", "vectors"}
# Pages and logs tell the time; what checkpoints hold is shown by the run that goes on from them.
UNEQUAL = (".lock", ".log", ".html", ".md", ".csv", ".parquet", ".jsonl")
SECONDS = 500  # after which a command hangs, on a machine that is busy


def state_of(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder that must not differ, what the clock decides left out."""
    state = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name.endswith(UNEQUAL) or "checkpoints/" in name:
            continue
        data = path.read_bytes()
        if path.suffix == ".json":
            data = json.dumps(_without_clock(json.loads(data)), sort_keys=True).encode()
        state[name] = hashlib.sha256(data).hexdigest()
    return state


def _without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_clock(inner) for key, inner in value.items() if key not in VOLATILE}
    return [_without_clock(inner) for inner in value] if isinstance(value, list) else value


def differing(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Return the names of files that are not the same in two states."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


@dataclass(frozen=True)
class Scenario:
    """A command that is disturbed while it works in a folder."""

    arguments: Callable[[Path], list[Any]]  # of a folder
    begin: Path | Callable[[Path], object] | None = None  # a folder that is copied there, or what makes its first state
    settings: dict[str, Any] = field(default_factory=dict)  # of the fork server: stdin, hooks
    slow: bool = False  # takes seconds, for it starts processes


@dataclass(frozen=True)
class Undisturbed:
    """How a command went that nobody disturbed."""

    state: dict[str, str]  # of its folder at the end
    calls: list[Call]  # that changed files
    seconds: float

    @cached_property
    def counts(self) -> Counter[str]:
        """Return how many calls there were of each kind of disturb.c."""
        return Counter("t" if call.kind == "z" else call.kind for call in self.calls)


def use_data_set(name: str, url: str, files: dict[str, str]) -> None:
    """Let `x2static data fetch` know one set alone, on a server of the test; runs in the command's process."""
    from x2static.pipeline.commands import data
    from x2static.pipeline.data import download
    from x2static.pipeline.data.sources import DataSet, RemoteFile

    remotes = tuple(
        RemoteFile(f"{url}/{path}", len(body), hashlib.sha256(body.encode()).hexdigest(), path, "word_pairs")
        for path, body in files.items()
    )
    data.SETS.clear()
    data.SETS[name] = DataSet(name, "word-similarity", "Some pairs", "CC0", remotes)
    download.RETRY_WAITS = (0.01,)


def small_demo(teacher: str, corpus: str) -> None:
    """Let `x2static demo` read a short text with a tiny teacher; runs in the command's process."""
    from x2static.pipeline.commands import demo
    from x2static.schemas.encoding import EncodeConfig

    def config(folder: Path) -> EncodeConfig:
        return EncodeConfig(
            model=teacher, corpus=(corpus,), cache=folder / "cache", min_sentences=1, min_characters=0, unit=6
        )

    demo.encode_config = config


class World:
    """Texts, a teacher, data, finished caches and runs; and a way to run commands on them."""

    def __init__(self, folder: Path, forks: Forks, server: Server) -> None:
        """Make what all scenarios begin with."""
        self.folder, self._forks = folder, forks
        self.place = folder / "place"  # what is disturbed; the same for all, as paths stand in records
        self.notes = folder / "notes"
        texts = paragraphs(30)
        self.corpus = write_lines(folder / "corpus.txt", texts[:24])
        self.more = write_lines(folder / "more.txt", texts[24:])
        rows = [json.dumps({"body": text}) for text in texts[:24]]
        self.json_lines = write_lines(folder / "corpus.jsonl", rows)
        self.words = write_lines(folder / "words.txt", NOUNS)
        self.meanings = write_lines(folder / "meanings.tsv", [f"{noun}\t{noun}s\ta kind of {noun}" for noun in NOUNS])
        self.space = folder / "space.toml"
        self.space.write_text("[lr]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n")
        self.pairs = folder / "data"
        words = [*NOUNS, *(verb for verb in VERBS), *ADJECTIVES]
        pairs = "".join(f"{word}\t{words[(i + 7) % len(words)]}\t{i * 13 % 11}\n" for i, word in enumerate(words))
        (self.pairs / "wordsim").mkdir(parents=True)
        (self.pairs / "wordsim" / "simlex999.tsv").write_text(pairs)
        self.teacher = make_teacher(folder / "teacher", "bert").folder
        self.server, self.files = server, {f"classification/TWO/{part}.tsv": pairs for part in ("train", "test")}
        make_set(server, {path: body.encode() for path, body in self.files.items()})
        self.known: dict[str, Undisturbed] = {}
        self._prepare()

    def _prepare(self) -> None:
        encode = ["encode", "--model", self.teacher, *ENCODE, "--corpus"]
        for name, more in {
            "cache": [self.corpus],
            "limited": [self.corpus, "--limit", "14"],
            "part1": [self.corpus, "--part", "1/2", "--ase", self.words],
            "part2": [self.corpus, "--part", "2/2", "--ase", self.words],
            "sums": [self.corpus, "--ase", self.words],
            "int8": [self.corpus, "--dtype", "int8", "--ase", self.words],
            "other": [self.more, "--ase", self.words],
        }.items():
            setattr(self, name, self.folder / name)
            self.succeed(*encode, *more, "--cache", self.folder / name)
        self.ran = self.folder / "run"
        self.succeed("train", "--cache", self.folder / "cache", "--out", self.ran, *TRAIN)
        self.succeed("export", self.ran, "--to", "model2vec", "--out", self.folder / "folder")
        self.inputs = {path: state_of(path) for path in self.folder.iterdir() if path.is_dir()}

    def run(self, *arguments: Any, trouble: dict[str, Any] | None = None, **settings: Any) -> tuple[int, str]:
        """Run a command, disturbed in a way; return its exit status (negative for a signal) and what it printed."""
        self.notes.unlink(missing_ok=True)
        trouble = {"CHAOS_SECONDS": SECONDS, **(trouble or {})}
        trouble |= {"CHAOS_NOTES": self.notes}
        hooks = {"tests.chaos.trouble:begin": [{name: str(value) for name, value in trouble.items()}]}
        hooks |= settings.pop("hooks", {})
        return self._forks.run(*map(str, arguments), hooks=hooks, **settings)

    def succeed(self, *arguments: Any, **settings: Any) -> str:
        """Run a command, and fail unless it exits with 0."""
        status, output = self.run(*arguments, **settings)
        assert status == 0, output
        return output

    def start(self, scenario: Scenario) -> None:
        """Put the place into the state that a scenario begins with."""
        shutil.rmtree(self.place, ignore_errors=True)
        if isinstance(scenario.begin, Path):
            shutil.copytree(scenario.begin, self.place, ignore=shutil.ignore_patterns(".lock"))
        elif scenario.begin:
            scenario.begin(self.place)

    def disturb(self, scenario: Scenario, **trouble: Any) -> tuple[int, str]:
        """Run a scenario's command with the settings of disturb.c; without any, in peace."""
        named = {f"CHAOS_{name.upper()}": value for name, value in trouble.items()}
        arguments = scenario.arguments(self.place)
        return self.run(*arguments, trouble={"CHAOS_BELOW": self.place, **named}, **scenario.settings)

    def undisturbed(self, name: str) -> Undisturbed:
        """Return how a scenario goes that nobody disturbs; found out when it is first asked for."""
        if name not in self.known:
            scenario = self.scenarios[name]
            self.start(scenario)
            began = time.monotonic()
            status, output = self.disturb(scenario, way="note")
            assert status == 0, f"{name}, undisturbed: {output}"
            seconds, calls = time.monotonic() - began, list(read_notes(self.notes))
            self.known[name] = Undisturbed(state_of(self.place), calls, seconds)
        return self.known[name]

    def complaints(self, name: str) -> list[str]:
        """Return what is not as an undisturbed run leaves it: bytes of the result, leftovers, changed inputs."""
        wrong = [f"{file} differs" for file in differing(state_of(self.place), self.undisturbed(name).state)]
        wrong += [f"{path} is left" for path in self.folder.rglob(".tmp-*")]
        for path, state in self.inputs.items():
            if path.name != "data":
                wrong += [f"the input {path / file} changed" for file in differing(state_of(path), state)]
        return wrong

    def wrong_answer(self, status: int, output: str) -> str | None:
        """Return what is wrong with how a command failed: it is to give one line, with a path in it."""
        lines = [line for line in output.splitlines() if line.startswith("error:")]
        if status < 0:
            return f"signal {-status}"
        if "Traceback" in output or "unexpected" in output or "panicked" in output:
            return "no clear end"
        if len(lines) != 1:
            return f"{len(lines)} error lines"
        return None if str(self.folder) in lines[0] else "no path in the line"

    def shortcoming(self, name: str) -> str | None:
        """Run a scenario in peace, on what trouble has left, and return what is wrong with how it ends."""
        status, output = self.disturb(self.scenarios[name])
        if status:
            return f"does not go on: {output}"
        return str(wrong) if (wrong := self.complaints(name)) else None

    def _damage(self, folder: Path) -> None:
        shutil.copytree(self.folder / "cache", folder)
        shards = folder / "shards"
        (shards / "000000" / "words.arrow").unlink()
        chunk = shards / "000001" / "contexts" / "c" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
        shutil.rmtree(shards / "000003")

    @cached_property
    def scenarios(self) -> dict[str, Scenario]:
        """Return all scenarios by name."""
        at = self.folder
        encode = ["encode", "--model", self.teacher, *ENCODE, "--corpus"]
        train = ["train", "--cache", at / "cache", *TRAIN, "--out"]
        sweep = ["sweep", "--cache", at / "cache", "--data", self.pairs, "--retry-failed", *TRAIN]
        compare = [
            "compare",
            self.ran,
            "--cache",
            at / "cache",
            "--data",
            self.pairs,
            "--only",
            "table3",
            "--min-count",
        ]
        compare += ["2", "--seeds", "1", "--threads", "1", "--baselines", "pca,skipgram", "--out"]
        fetch = {"tests.chaos.scenarios:use_data_set": ["two", self.server.url, self.files]}
        demo = {"tests.chaos.scenarios:small_demo": [str(self.teacher), str(self.corpus)]}
        phrases = ["cache", "phrases", "--dictionary", self.meanings, "--licence", "none", *FEW]
        merge = ["cache", "merge", at / "part1", at / "part2", at / "other", "--out"]
        space = ["--space", self.space, "--trials", "3"]
        pruned = ["-p", "lr=1e-3,3e-3", "--epochs", "2", "--jobs", "2", "--prune"]
        return {
            "encode": Scenario(lambda f: [*encode, self.corpus, "--cache", f]),
            "encode, int8 and word sums": Scenario(
                lambda f: [*encode, self.corpus, "--dtype", "int8", "--ase", self.words, "--cache", f]
            ),
            "encode, word sums added": Scenario(
                lambda f: [*encode, self.corpus, "--ase", self.words, "--cache", f], at / "cache"
            ),
            "encode, a layer added": Scenario(
                lambda f: [*encode, self.corpus, "--state-layers", "0", "--cache", f], at / "cache"
            ),
            "encode, occurrences added": Scenario(
                lambda f: [*encode, self.corpus, "--occurrences", "8", "--cache", f], at / "cache"
            ),
            "encode --append": Scenario(lambda f: [*encode, self.more, "--append", "--cache", f], at / "cache"),
            "encode -": Scenario(lambda f: [*encode, "-", "--cache", f], settings={"stdin": str(self.corpus)}),
            "encode, --limit raised": Scenario(
                lambda f: [*encode, self.corpus, "--limit", "20", "--cache", f], at / "limited"
            ),
            "encode JSON lines": Scenario(lambda f: [*encode, f"{self.json_lines}#body", "--cache", f]),
            "cache repair": Scenario(lambda f: ["cache", "repair", f], self._damage),
            "cache phrases --dictionary": Scenario(lambda f: [*phrases, f], at / "cache"),
            "cache masked": Scenario(lambda f: ["cache", "masked", "--occurrences", "2", *FEW, f], at / "cache"),
            "cache merge": Scenario(lambda f: [*merge, f]),
            "cache merge --copy": Scenario(lambda f: [*merge, f, "--copy"]),
            "cache sample": Scenario(lambda f: ["cache", "sample", at / "int8", "--every", "2", "--out", f]),
            "train": Scenario(lambda f: [*train, f, "--epochs", "2"]),
            "train --objective closed-form": Scenario(lambda f: [*train, f, "--objective", "closed-form"]),
            "train --continue": Scenario(lambda f: [*train, f, "--continue", self.ran]),
            "train, more --epochs": Scenario(lambda f: [*train, f, "--epochs", "2"], self.ran),
            "train --subwords": Scenario(lambda f: [*train, f, "--subwords"]),
            "subwords": Scenario(lambda f: ["subwords", f], self.ran),
            "evaluate": Scenario(lambda f: ["evaluate", f, "--data", self.pairs], self.ran),
            "export": Scenario(lambda f: ["export", self.ran, "--to", "word2vec-bin", "--out", f / "v.bin", "--force"]),
            "export, a folder": Scenario(
                lambda f: ["export", self.ran, "--to", "browser", "--out", f / "m", "--force"]
            ),
            "import": Scenario(lambda f: ["import", at / "folder", "--out", f]),
            "report": Scenario(lambda f: ["report", self.ran, "--data", self.pairs, "--out", f / "p.html", "--force"]),
            "baseline pca": Scenario(lambda f: ["baseline", "pca", "--cache", at / "cache", *FEW, "--out", f]),
            "baseline ase": Scenario(
                lambda f: ["baseline", "ase", "--cache", f / "cache", *FEW, "--out", f / "ase"],
                lambda f: shutil.copytree(at / "sums", f / "cache"),
            ),
            "data fetch": Scenario(lambda f: ["data", "fetch", "--to", f], settings={"hooks": fetch}),
            "demo": Scenario(lambda f: ["demo", "--out", f], settings={"hooks": demo}),
            "compare": Scenario(lambda f: [*compare, f], slow=True),
            "sweep": Scenario(lambda f: [*sweep, "-p", "lr=1e-3,3e-3", "--out", f], slow=True),
            "sweep --space": Scenario(lambda f: [*sweep, *space, "--out", f], slow=True),
            "sweep --jobs --prune": Scenario(lambda f: [*sweep, *pruned, "--out", f], slow=True),
        }
