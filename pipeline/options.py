"""Options of the command line that come from a configuration model, so that every default stands in one place."""

import json
import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError

from x2static.durable.errors import first_line
from x2static.durable.storage import special_kind
from x2static.machine.packages import package_version
from x2static.machine.screen import visible
from x2static.pipeline.terminal import named

LONGEST_CONFIG = 1 << 20  # bytes
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # Path() makes one slash of two
DEFAULT = ParameterSource.DEFAULT
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Model = TypeVar("Model", bound=BaseModel)


class Given(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.4
    """A text or a path as every system can hold it: not empty, as a variable that is not set is, without NUL, UTF-8.

    Where a path may be in a bucket, `bucket` makes a local folder of its URL; elsewhere a URL is refused.
    """

    def __init__(self, kind: type[str] | type[Path], bucket: Callable[[str], Path] | None = None) -> None:
        self.kind, self.bucket = kind, bucket
        self.name = "text" if kind is str else "path"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the value as its kind."""
        text = str(value)
        if not text:
            self.fail("it is empty (a variable that is not set?)", parameter, context)
        if "\0" in text:
            self.fail(f"{text!r} holds a NUL", parameter, context)
        if any("\ud800" <= char <= "\udfff" for char in text):
            self.fail(f"{text!r} is not valid UTF-8, so no record can name it; rename it", parameter, context)
        if self.kind is Path and (match := URL.match(text)):
            if self.bucket is None:  # all of it is not shown: it may hold a password
                self.fail(
                    f"{match[1]}://...: it is no URL that this takes; name a file or a folder", parameter, context
                )
            return self.bucket(URL.sub(r"\1://", text))
        if kind := special_kind(Path(text)):
            self.fail(f"{text!r} is {kind}; name a file or a folder", parameter, context)
        return self.kind(value)


def _cache_of(url: str) -> Path:
    """Return the folder that shows the cache of a bucket as it is now."""
    from x2static.schemas.mirror import seen_here, view_of

    return seen_here(view_of(url))


def _run_of(url: str, with_checkpoints: bool = True) -> Path:
    """Return the folder that shows the run of a bucket as it is now."""
    from x2static.schemas.mirror import RunView

    view = RunView(url)
    view.pull(with_checkpoints)
    return view.path


TEXT = Given(str)
FOLDER = Given(Path)  # or a file
CACHE = Given(Path, _cache_of)
RUN = Given(Path, _run_of)
VECTORS = Given(Path, partial(_run_of, with_checkpoints=False))
UNKNOWN = click.option(
    "--unknown",
    type=click.Choice(["skip", "subwords"]),
    default="skip",
    show_default=True,
    help="Words outside the vocabulary: left out, or with vectors of subwords, see x2static subwords.",
)
LANGUAGE = click.option(
    "--language", type=TEXT, help="Only the words of this language, de, where they are kept apart by it, de:gift."
)


# Headings of --help, in their order, and the options below each; what a command must have stands before all of them,
# what is not named here, after that.
GROUPS = {
    "Corpus": "corpus limit sample part append format on_bad_text max_paragraph_bytes unit",
    "Teacher": "model revision layer pooling precision backend device compile trust_remote_code",
    "Text": "language mark_language context context_words min_sentences min_characters",
    "Words": "min_count max_vocab vocab multiword words subwords unknown",
    "Training": "for objective init prior continue epochs lr schedule warmup negatives negatives_mode pool noise_power "
    "subsample contexts context_map means_of transform dim centre_languages batch_size partial",
    "Views of words": "word_states state_layers occurrences phrases dictionary synonyms test_pairs regression "
    "closed_form masked components neighbours neighbour_weight sif",
    "Output": "cache out to dtype ase results plan",
    "Running": "seed encoders workers parts jobs engine address gpus_per_worker threads checkpoint_minutes "
    "buffer_megabytes config json debug help",
}


class Command(click.Command):
    """A command whose --help has its options in groups, and which names all at once that are missing."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: those that are required, those of this command alone, and those of each group."""
        heading_of = {name: heading for heading, names in GROUPS.items() for name in names.split()}
        lines: dict[str, list[tuple[str, str]]] = {heading: [] for heading in ("Required", "Options", *GROUPS)}
        for parameter in self.get_params(context):
            if isinstance(parameter, click.Option) and (line := parameter.get_help_record(context)):
                name = parameter.opts[-1].strip("-").replace("-", "_")
                lines["Required" if parameter.required else heading_of.get(name, "Options")].append(line)
        for heading, of_heading in lines.items():
            if of_heading:
                with formatter.section(heading):
                    formatter.write_dl(of_heading)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises click.UsageError, which names all that is missing, not the first alone."""
        given_args = list(args)
        try:
            return super().parse_args(context, args)
        except click.MissingParameter as error:
            values, _, _ = self.make_parser(context).parse_args(given_args)
            required = [parameter for parameter in self.get_params(context) if parameter.required]
            lacking = [one for one in required if one.value_is_missing(one.consume_value(context, values)[0])]
            names = [one.opts[0] if isinstance(one, click.Option) else one.human_readable_name for one in lacking]
            raise click.UsageError(f"missing: {', '.join(names)}", context) from error

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it is typed, in one line."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


class Group(click.Group):
    """A command of commands, which says what a name that is none may have been meant to be."""

    command_class = Command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a command by its name, and the arguments that are left for it."""
        names = self.list_commands(context)
        if args[0] not in names and not args[0].startswith("-"):
            near = get_close_matches(args[0], names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise click.UsageError(f"no such command: {args[0]}; {hint}", context)
        return super().resolve_command(context, args)


@dataclass
class Shell:
    """What every command shares."""

    json: bool = False  # print one JSON object, and nothing else, on stdout
    debug: bool = False  # show the traceback of an error
    config: Path | None = None  # the file that options come from
    called: bool = False  # from Python, which takes the result and prints nothing
    result: dict[str, Any] = field(default_factory=dict)  # what the command came to


def common(command: Decorated) -> Decorated:
    """Give a command its context, and the options --config, --json and --debug."""
    line = "A TOML file; every option is also a key of it. Options on the command line win."
    config = click.option("--config", type=FOLDER, is_eager=True, expose_value=False, callback=_read_config, help=line)
    switch = partial(click.option, is_flag=True, expose_value=False, callback=_keep)
    json_line = switch("--json", help="Print one JSON object, and nothing else, on stdout.")
    debug = switch("--debug", help="Show the traceback of an error.")
    return cast(Decorated, debug(json_line(config(click.pass_context(command)))))


def _keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Set the field of the Shell that an option is called after."""
    setattr(context.ensure_object(Shell), str(parameter.name), value)


def _read_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    context.ensure_object(Shell).config = path
    try:
        with path.open("rb") as file:
            values = tomllib.loads(file.read(LONGEST_CONFIG).decode())
    except OSError as error:
        raise click.UsageError(f"--config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number too long, nested too deeply
        raise click.UsageError(f"--config {path}: not valid TOML: {first_line(error)}") from error
    known = {str(parameter.name): parameter for parameter in context.command.params if parameter.name != "config"}
    defaults = {name.replace("-", "_"): value for name, value in values.items()}
    if unknown := sorted(defaults.keys() - known):
        keys = f"the keys are {', '.join(sorted(known))}"
        raise click.UsageError(f"--config {path}: unknown key {', '.join(unknown)}; {keys}")
    defaults = {name: _typed(known[name], value, path) for name, value in defaults.items()}
    context.default_map = {**(context.default_map or {}), **defaults}


def _typed(parameter: click.Parameter, value: Any, path: Path) -> Any:
    """Return a value of a TOML file as the command line gives it: a number as text, so that 2.5 epochs are not 2."""
    several = getattr(parameter, "multiple", False) or parameter.nargs != 1
    if getattr(parameter, "is_flag", False):
        expected = "true or false"
        if isinstance(value, bool):
            return value
    else:
        expected = "texts or numbers" if several else "a text or a number"
        parts = value if several and isinstance(value, list) else [value]  # one corpus needs no list
        if all(isinstance(part, (str, int, float)) and not isinstance(part, bool) for part in parts):
            with suppress(ValueError):  # thousands of digits, which only a hexadecimal number can have here
                return list(map(str, parts)) if several else str(value)
    kinds = {dict: "a table", list: "a list", bool: "true or false", int: "a number", str: "a text"}
    problem = f"expected {expected}, got {kinds.get(type(value), 'a date')}"
    raise click.UsageError(f"--config {path}: --{str(parameter.name).replace('_', '-')}: {problem}")


def options(model: type[BaseModel], /, **helps: str | tuple[str, Given]) -> Callable[[Decorated], Decorated]:
    """Add an option for each of some fields of a configuration model, with the line that --help says of it.

    A path that may be in a bucket has its type beside the line.
    """

    def decorate(command: Decorated) -> Decorated:
        for name, line in reversed(helps.items()):  # click shows last what is added first
            text, kind = line if isinstance(line, tuple) else (line, None)
            command = option(model, name, text, **({"type": kind} if kind else {}))(command)
        return command

    return decorate


def option(model: type[BaseModel], field: str, help: str, **extra: Any) -> Callable[[Decorated], Decorated]:  # noqa: A002
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
        return {"type": TEXT if types else click.Choice(choices)}
    return {"type": {Path: FOLDER, str: TEXT}.get(types[0], types[0])}


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


def say(context: click.Context, text: str) -> None:
    """Print what a command has found, for people: on stdout, or on stderr where --json has stdout for itself."""
    shell = context.ensure_object(Shell)
    if not shell.called:
        click.echo(named(text), err=shell.json)


def finish(context: click.Context, result: dict[str, Any], *lines: str) -> None:
    """Print what a command has to say at its end, a line each and, if --json asks for it, its result as JSON."""
    shell = context.ensure_object(Shell)
    shell.result = result
    if shell.called:
        return
    for line in lines:
        say(context, "\n".join(map(visible, line.split("\n"))))
    if shell.json:
        command = context.command_path.partition(" ")[2]
        line = json.dumps({"command": command, "version": package_version("x2static"), **result})
        click.echo(line.replace("\x7f", "\\u007f"))  # the one control character that JSON holds raw
