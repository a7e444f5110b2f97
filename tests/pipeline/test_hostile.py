"""Whatever is typed or stands in a --config file, for every option of every command: one line that names it."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.conftest import ROOT
from tests.pipeline.ran import run_here
from tests.schemas.caches import change, make_cache
from x2static.durable import storage
from x2static.pipeline import cli
from x2static.pipeline.options import Given
from x2static.pipeline.terminal import message

CONTROLS = [*map(chr, (*range(0x20), *range(0x7F, 0xA0))), *"\u2028\u2029\u202e\u2066"]


def commands() -> dict[str, click.Command]:
    """Return every command, those of groups included, by what is typed."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli.cli)
    for name in cli.COMMANDS:
        command = cli.cli.get_command(context, name)
        inner = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        found |= {f"{name} {second}".strip(): one for second, one in inner}
    return found


def name_of(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name)


CASES = [
    (typed, str(parameter.name))
    for typed, command in commands().items()
    for parameter in command.params
    if parameter.name not in ("config", "help")
]


def parameter_of(typed: str, name: str) -> click.Parameter:
    return next(parameter for parameter in commands()[typed].params if parameter.name == name)


def required(typed: str, name: str) -> list[str]:
    """Return what must be given besides a parameter, so that it is what is looked at."""
    given: list[str] = []
    for parameter in commands()[typed].params:
        if parameter.required and parameter.name != name:
            value = str(parameter.type.choices[0]) if isinstance(parameter.type, click.Choice) else "there"
            given += [parameter.opts[0], value] if isinstance(parameter, click.Option) else [value]
    return given


# Not a value of any option, or not of an option that takes one.
WRONG = {
    "a date": "1979-05-27",
    "a time": "07:32:00",
    "a table": "{ a = 1 }",
    "lists": "[[1, 2], ['a']]",
    "a list of tables": "[{ a = 'b' }]",
    "a NUL": '"a\\u0000b"',
    "nothing": '""',
    "many digits": "9" * 5000,
    "many hexadecimal digits": "0x" + "f" * 5000,
    "depth": "[" * 100_000,
}


OPTIONS = [(typed, name) for typed, name in CASES if isinstance(parameter_of(typed, name), click.Option)]


@pytest.mark.parametrize(("typed", "name"), OPTIONS, ids=[f"{typed} {name}" for typed, name in OPTIONS])
def test_a_value_of_another_type_in_a_config_file_is_a_line_with_the_file_and_the_option(
    typed, name, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    parameter, kind = parameter_of(typed, name), parameter_of(typed, name).type
    wrong = dict(WRONG)
    if getattr(parameter, "is_flag", False):
        wrong |= {"a text": '"yes"', "a number": "1"}
    elif not isinstance(kind, Given):
        wrong |= {"true": "true", "a text": '"some"', "a broken number": "2.5e9999x"}
    else:
        wrong |= {"true": "true"}
    for what, value in wrong.items():
        Path("odd.toml").write_text(f"{name} = {value}\n")
        ran = run_here(capsys, [*typed.split(), "--config", "odd.toml", *required(typed, name)])
        error = ran.err.splitlines()[-1]
        assert ran.status == 2, what
        assert "--config odd.toml" in error, what
        assert "unexpected" not in error, what
        assert f"--{name.replace('_', '-')}" in error or "not valid TOML" in error, (what, error)


PATHS = [(typed, name) for typed, name in CASES if isinstance(parameter_of(typed, name).type, Given)]


@pytest.mark.parametrize(("typed", "name"), PATHS, ids=[f"{typed} {name}" for typed, name in PATHS])
def test_a_path_or_text_that_is_empty_or_not_utf_8_is_wrong_usage(typed, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parameter = parameter_of(typed, name)
    for value, said in {"": "it is empty", "bad\udcff": "not valid UTF-8"}.items():
        given = [parameter.opts[0], value] if isinstance(parameter, click.Option) else [value]
        arguments = required(typed, name)
        ran = run_here(capsys, [*typed.split(), *(given + arguments if name != "inputs" else arguments + given)])
        error = ran.err.splitlines()[-1]
        assert ran.status == 2
        assert said in error
        assert not any(char in error for char in CONTROLS)
    assert not list(tmp_path.iterdir())


FOLDERS = [(typed, name) for typed, name in PATHS if parameter_of(typed, name).type.kind is Path]


@pytest.mark.parametrize(("typed", "name"), FOLDERS, ids=[f"{typed} {name}" for typed, name in FOLDERS])
def test_a_named_pipe_is_refused_where_a_path_is_asked_for_and_not_waited_for(
    typed, name, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    parameter = parameter_of(typed, name)
    given = [parameter.opts[0], "pipe"] if isinstance(parameter, click.Option) else ["pipe"]
    ran = run_here(capsys, [*typed.split(), *given, *required(typed, name)])
    assert (ran.status, "'pipe' is a named pipe" in ran.err.splitlines()[-1]) == (2, True)


def test_links_that_lead_to_themselves_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    for arguments in (["loop", "--out", "new"], ["cache", "--out", "loop"]):
        ran = run_here(capsys, ["cache", "merge", *arguments])
        assert (ran.status, "'loop' is a link that leads to itself" in ran.err) == (2, True)


ENDS = {
    ">/dev/full": (1, "error: the disk is full"),
    "2>/dev/full": (0, ""),
    ">&-": (0, ""),
    "2>&-": (0, ""),
    "| true": (0, ""),  # what is told of is the last one's
}


@pytest.mark.parametrize("end", ENDS)
def test_an_output_that_is_full_closed_or_left_early_is_a_line_or_silence(end):
    code = shlex.quote("from x2static.pipeline.cli import main; main()")
    command = ["bash", "-c", f"{shlex.quote(sys.executable)} -c {code} train --help {end}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    status, said = ENDS[end]
    assert done.stderr.startswith(said)
    assert (done.returncode, done.stderr.count("\n")) == (status, bool(said))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 7.28 TiB"), "this does not fit into memory (Unable to allocate 7.28 TiB)"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "this does not fit into memory"),
        (UnicodeEncodeError("utf-8", "bad\udcff.txt", 3, 4, "surrogates not allowed"), "a name is not valid UTF-8"),
    ],
)
def test_what_the_system_cannot_take_is_no_defect(error, said):
    assert message(error).startswith(said)


def test_readers_of_a_cache_take_no_lock_that_could_refuse_its_writer(tmp_path, monkeypatch, capsys):
    cache, held = make_cache(tmp_path / "cache"), list[Path]()
    original = storage.FileLock

    def lock(path, **options):
        held.append(Path(path))
        return original(path, **options)

    monkeypatch.setattr(storage, "FileLock", lock)
    assert run_here(capsys, ["cache", "info", cache]).status == 0
    assert run_here(capsys, ["cache", "verify", cache]).status == 0
    train = ["train", "--cache", cache, "--out", tmp_path / "run", "--objective", "closed-form", "--min-count", "1"]
    assert run_here(capsys, train).status == 0
    assert not [path for path in held if path.is_relative_to(cache)]


def test_names_in_a_cache_that_somebody_else_made_are_shown_as_text(tmp_path, capsys):
    cache, name = make_cache(tmp_path / "cache"), "\x1b]0;owned\x07\x9b2J\u202e\r<script>"
    for file, key in (("manifest.json", "teacher"), ("plans/0.json", "corpus")):
        change(cache / file, {key: name})
    for options in ([], ["--json"]):
        ran = run_here(capsys, ["cache", "info", cache, *options])
        assert ran.status == 0
        assert not [char for char in CONTROLS if char in ran.out + ran.err and char != "\n"]
    assert ran.json["teacher"] == name
