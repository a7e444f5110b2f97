"""Whatever is typed or stands in a --config file, for every option of every command: one line that names it."""

from pathlib import Path

import click
import pytest

from tests.pipeline.ran import run_here
from x2static.pipeline import cli
from x2static.pipeline.options import FOLDER, TEXT

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
    elif kind not in (FOLDER, TEXT):
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


PATHS = [(typed, name) for typed, name in CASES if parameter_of(typed, name).type in (FOLDER, TEXT)]


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
