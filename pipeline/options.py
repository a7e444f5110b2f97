"""Options of the command line that come from a configuration model, so that every default stands in one place."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError

from x2static.machine.packages import package_version

DEFAULT = ParameterSource.DEFAULT
Command = TypeVar("Command", bound=Callable[..., Any])
Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Shell:
    """What every command shares."""

    json: bool = False  # print one JSON object on the last line of stdout
    debug: bool = False  # show the traceback of an error


def common(command: Command) -> Command:
    """Add --config, --json and --debug to a command."""
    decorators = [
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_read_config,
            help="A TOML file; every option is also a key of it. Options on the command line win.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_set("json"),
            help="Print one JSON object on the last line of stdout.",
        ),
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=_set("debug"), help="Show the traceback of an error."
        ),
    ]
    for decorator in decorators:
        command = decorator(command)
    return command


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, _: click.Parameter, value: bool) -> None:
        setattr(context.ensure_object(Shell), name, value)

    return callback


def _read_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"--config {path}: {error.strerror}", context) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--config {path}: not valid TOML: {error}", context) from error
    known = {parameter.name for parameter in context.command.params} - {"config"}
    defaults = {name.replace("-", "_"): value for name, value in values.items()}
    if unknown := sorted(defaults.keys() - known):
        raise click.UsageError(
            f"--config {path}: unknown key {', '.join(unknown)}; the keys are {', '.join(sorted(map(str, known)))}",
            context,
        )
    for parameter in context.command.params:
        value = defaults.get(str(parameter.name))
        if getattr(parameter, "multiple", False) and isinstance(value, str):
            defaults[str(parameter.name)] = [value]  # one corpus needs no list
    context.default_map = {**(context.default_map or {}), **defaults}


def option(
    model: type[BaseModel],
    name: str,
    help: str,  # noqa: A002
    field: str | None = None,
    **extra: Any,
) -> Callable[[Command], Command]:
    """Return the option for a field of a configuration model: type, choices and default are the field's.

    Args:
        model: the configuration.
        name: of the option.
        help: the line in --help.
        field: its field, where that has another name.
        **extra: passed on to click.
    """
    info = model.model_fields[field or name]
    required = info.is_required()
    attributes: dict[str, Any] = {"type": _type(info.annotation), "required": required, "help": help}
    if not required:
        attributes |= {"default": info.default, "show_default": info.default is not None}
    if info.annotation is bool:
        attributes |= {"is_flag": True, "show_default": False}
        del attributes["type"]
    return click.option("--" + name.replace("_", "-"), name, **(attributes | extra))


def _type(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        choices = [choice for part in get_args(annotation) for choice in _choices(part)]
        if choices:
            return click.Choice(choices)
        return _type(next(part for part in get_args(annotation) if part is not type(None)))
    if choices := _choices(annotation):
        return click.Choice(choices)
    if annotation is Path:
        return click.Path(path_type=Path)
    return annotation


def _choices(annotation: Any) -> list[str]:
    return list(get_args(annotation)) if get_origin(annotation) is Literal else []


def given(context: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the user gave, on the command line or in a file; the model knows the other defaults.

    Which default a setting has may depend on another one (--compat paper).
    """
    return {name: value for name, value in values.items() if context.get_parameter_source(name) != DEFAULT}


def build(model: type[Model], values: dict[str, Any]) -> Model:
    """Return a configuration, or a usage error that names each option that is wrong.

    Raises click.UsageError: a value is out of its range.
    """
    try:
        return model(**values)
    except ValidationError as error:
        lines = [
            f"--{str(item['loc'][0]).replace('_', '-')} {_shown(item['input'])}: {item['msg'].lower()}"
            for item in error.errors()
        ]
        raise click.UsageError("; ".join(lines), click.get_current_context()) from error


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def finish(context: click.Context, result: dict[str, Any]) -> None:
    """Print a command's result as one JSON line, if --json asks for it."""
    if context.ensure_object(Shell).json:
        command = context.command_path.partition(" ")[2]
        click.echo(json.dumps({"command": command, "version": package_version("x2static"), **result}))
