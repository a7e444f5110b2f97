"""The commands as functions: `x2static.encode`, `train`, `evaluate`, `distill`.

Settings have the names that they have on the command line, `min_count=5` for `--min-count 5`, and its defaults.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.object_store import is_url
from x2static.durable.storage import canonical_json, user_cache, write_atomically
from x2static.machine.screen import visible
from x2static.pipeline.cli import cli
from x2static.pipeline.options import Shell
from x2static.schemas.cache import Cache
from x2static.schemas.mirror import view_of
from x2static.schemas.vectors import RUN, WordVectors
from x2static.schemas.views import lacking_views

Source = str | Path  # a name or a path


def encode(model: Source, corpus: Source | list[Source], cache: Source, **settings: Any) -> dict[str, Any]:
    """Run a corpus through a teacher once, into a cache, or go on where that stopped; return its figures.

    Raises X2StaticError, as the command ends with.

    >>> figures = encode("my-bert", "corpus.txt", "cache/mine", limit=50)
    >>> figures["paragraphs"]
    50
    """
    return _call("encode", [], {"model": model, "corpus": corpus, "cache": cache, **settings})


def train(cache: Source, out: Source, **settings: Any) -> WordVectors:
    """Train word vectors from a cache, or go on where that stopped; return them.

    What is `--for` there is `purpose` here, and `--continue` is `continue_`. Raises X2StaticError, as the command ends
    with.

    >>> vectors = train("cache/mine", "runs/mine", min_count=2)
    >>> vectors.dim
    32
    """
    _call("train", [], {"cache": cache, "out": out, **settings})
    return WordVectors.load(view_of(str(out)) if is_url(out) else out)


def evaluate(vectors: WordVectors | Source, task: str = "word-similarity", **settings: Any) -> dict[str, Any]:
    """Score word vectors, or those in a folder; return the figures of `--json`.

    Raises X2StaticError, as the command ends with.

    >>> evaluate(vectors, data="pairs.tsv")["tasks"]["pairs"]["covered"]
    4
    """
    if not isinstance(vectors, WordVectors):
        return _call("evaluate", [vectors], {"task": task, **settings})
    from x2static.pipeline.evaluations.registry import EvaluateConfig, fetched_data, runner

    data = settings.pop("data", None)
    run = runner(task)
    config = EvaluateConfig(Path(data) if data else fetched_data(task), **settings)
    results = run({"vectors": vectors}, config)
    return {"task": task, **results.figures, **results.vectors["vectors"]}


def distill(model: Source, corpus: Source | list[Source], folder: Source | None = None, **settings: Any) -> WordVectors:
    """Make word vectors of a teacher and a corpus: encode and train, each going on where it stopped; return them.

    A setting goes to whichever of the two has it. Cache and vectors lie in `folder`, by default in the user's cache by
    the names of model and corpus. Raises X2StaticError, as the commands end with; TypeError: neither has such a
    setting.

    >>> distill("my-bert", corpus="corpus.txt", folder="mine", min_count=2)
    <WordVectors: words 74, dimensions 32, teacher my-bert>
    """
    names = {command: _names(command) for command in ("encode", "train")}
    unknown = [name for name in settings if not any(_option(name) in of_one for of_one in names.values())]
    if unknown:
        raise TypeError(f"neither encode nor train has a setting {', '.join(unknown)}")
    if folder is None:
        asked = hashlib.sha256(canonical_json([str(model), list(map(str, _several(corpus)))])).hexdigest()[:12]
        folder = user_cache() / "distilled" / f"{Path(str(model)).name}-{asked}"
    of = {command: {n: v for n, v in settings.items() if _option(n) in names[command]} for command in names}
    of_run = hashlib.sha256(canonical_json({n: str(v) for n, v in of["train"].items()})).hexdigest()[:12]
    cache, run = Path(folder) / "cache", Path(folder) / f"run-{of_run}"
    record, corpora = run.with_suffix(".json"), list(map(str, _several(corpus)))
    made_of = canonical_json(_made_of(str(model), corpora, cache, settings))
    piped = any(spec.startswith("-") for spec in corpora)  # what comes is known when it has come
    if not piped and (run / RUN).is_file() and record.is_file() and record.read_bytes() == made_of:
        click.echo(visible(f"{run}: distilled before, of the same files"), err=True)
        return WordVectors.load(run)
    encode(model, corpus, cache, **of["encode"])
    if {"min_count", "multiword"} & {*settings} and not lacking_views(Cache.open(cache), phrases=False):
        ours = ("min_count", "multiword", "device", "trust_remote_code")
        # `encode` has read the words that occur ten times.
        _call("cache phrases", [cache], {name: value for name, value in settings.items() if name in ours})
    vectors = train(cache, run, **of["train"])
    write_atomically(record, made_of)
    return vectors


def _made_of(model: str, corpora: list[str], cache: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what tells cheaply whether vectors are those that are asked for: settings, and size and time of each file.

    What is on the hub is known by its name. Raises X2StaticError: a file is not there.
    """
    from x2static.stage1_encode.corpora.corpus import file_states
    from x2static.stage1_encode.corpora.sources import files_named
    from x2static.stage1_encode.teacher.files import local_folder

    of_teacher = (local_folder(model) or Path(os.devnull)).rglob("*")
    files = {str(path): path for path in of_teacher if path.is_file()}
    for spec in corpora:
        files |= {str(path): path for path in files_named(spec, cache)}
    asked = {name: str(value) for name, value in settings.items()}
    return {"model": model, "corpus": corpora, "settings": asked, "files": file_states(files)}


def _names(command: str) -> set[str]:
    found: click.Command | None = cli
    for name in command.split():
        found = found.get_command(click.Context(found), name) if isinstance(found, click.Group) else None
    parameters = found.params if found is not None else []
    return {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}


def _option(name: str) -> str:
    return "--" + {"purpose": "for"}.get(name, name.rstrip("_")).replace("_", "-")


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _call(command: str, arguments: list[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Run a command with its options as settings, and return its result. Raises X2StaticError, TypeError."""
    names, shell = _names(command), Shell(called=True)
    line = [*command.split(), *map(str, arguments)]
    for name, value in settings.items():
        option = _option(name)
        if option not in names:
            raise TypeError(f"{command} has no setting {name!r}")
        off = "--no-" + option.removeprefix("--")
        if value is True or (value is False and off in names):
            line.append(option if value else off)
        elif value is not None and value is not False:
            line += [part for one in _several(value) for part in (option, str(one))]
    try:
        cli.main(line, prog_name="x2static", standalone_mode=False, obj=shell)
    except click.ClickException as error:
        raise X2StaticError(" ".join(error.format_message().split())) from error
    return shell.result
