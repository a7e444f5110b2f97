"""Options of the command line that come from a configuration model, so that every default stands in one place."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError

from x2static.machine.packages import package_version
from x2static.machine.screen import visible

DEFAULT = ParameterSource.DEFAULT
FOLDER = click.Path(path_type=Path)  # or a file
Command = TypeVar("Command", bound=Callable[..., Any])
Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Shell:
    """What every command shares."""

    json: bool = False  # print one JSON object on the last line of stdout
    debug: bool = False  # show the traceback of an error


def common(command: Command) -> Command:
    """Give a command its context, and the options --config, --json and --debug."""
    line = "A TOML file; every option is also a key of it. Options on the command line win."
    config = click.option("--config", type=FOLDER, is_eager=True, expose_value=False, callback=_read_config, help=line)
    switch = partial(click.option, is_flag=True, expose_value=False, callback=_keep)
    json_line = switch("--json", help="Print one JSON object on the last line of stdout.")
    debug = switch("--debug", help="Show the traceback of an error.")
    return cast(Command, debug(json_line(config(click.pass_context(command)))))


def _keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Set the field of the Shell that an option is called after."""
    setattr(context.ensure_object(Shell), str(parameter.name), value)


def _read_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--config {path}: not valid TOML: {error}") from error
    known = {str(parameter.name): parameter for parameter in context.command.params if parameter.name != "config"}
    defaults = {name.replace("-", "_"): value for name, value in values.items()}
    if unknown := sorted(defaults.keys() - known):
        keys = f"the keys are {', '.join(sorted(known))}"
        raise click.UsageError(f"--config {path}: unknown key {', '.join(unknown)}; {keys}")
    for name, value in defaults.items():
        if getattr(known[name], "multiple", False) and isinstance(value, str):
            defaults[name] = [value]  # one corpus needs no list
    context.default_map = {**(context.default_map or {}), **defaults}


def options(model: type[BaseModel], /, **helps: str) -> Callable[[Command], Command]:
    """Add an option for each of some fields of a configuration model, with the line that --help says of it."""

    def decorate(command: Command) -> Command:
        for field, line in reversed(helps.items()):  # click shows last what is added first
            command = option(model, field, line)(command)
        return command

    return decorate


def option(model: type[BaseModel], field: str, help: str, **extra: Any) -> Callable[[Command], Command]:  # noqa: A002
    """Return the option for a field of a configuration model: type, choices and default are the field's.

    `extra` is passed on to click. The field `continue_run` is --continue, a word that Python has taken.
    """
    name, info = field.removesuffix("_run"), model.model_fields[field]
    attributes: dict[str, Any] = {"required": info.is_required(), "help": help, **_type(info.annotation)}
    if not info.is_required():
        shown = {} if info.annotation is bool else {"show_default": info.default is not None}
        attributes |= {"default": info.default, **shown}
    return click.option("--" + name.replace("_", "-"), name, **(attributes | extra))


def _type(annotation: Any) -> dict[str, Any]:
    """Return what click is told of a field's type; a number or a word is read as text, the model tells them apart."""
    if annotation is bool:
        return {"is_flag": True}
    if get_origin(annotation) is tuple:
        return {**_type(get_args(annotation)[0]), "multiple": True}
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    choices = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
    types = [part for part in parts if get_origin(part) is not Literal and part is not type(None)]
    if choices:
        return {"type": str if types else click.Choice(choices)}
    return {"type": FOLDER if types == [Path] else types[0]}


def given(context: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the user gave, on the command line or in a file; defaults may depend on others."""
    return {name: value for name, value in values.items() if context.get_parameter_source(name) != DEFAULT}


def build(model: type[Model], values: dict[str, Any]) -> Model:
    """Return a configuration. Raises click.UsageError: values are out of their range; each is named."""
    try:
        return model(**values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            value = item["input"] if isinstance(item["input"], str) else json.dumps(item["input"], default=str)
            lines.append(f"--{str(item['loc'][0]).replace('_', '-')} {value}: {item['msg'].lower()}")
        raise click.UsageError("; ".join(lines)) from error


def finish(context: click.Context, result: dict[str, Any], *lines: str) -> None:
    """Print what a command has to say at its end, a line each and, if --json asks for it, its result as JSON."""
    for line in lines:
        click.echo("\n".join(map(visible, line.split("\n"))))
    if context.ensure_object(Shell).json:
        command = context.command_path.partition(" ")[2]
        line = json.dumps({"command": command, "version": package_version("x2static"), **result})
        click.echo(line.replace("\x7f", "\\u007f"))  # the one control character that JSON holds raw
