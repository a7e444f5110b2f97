"""`x2static`: the commands, and what becomes of their errors."""

import importlib
import os
import signal
import sys
import threading
import traceback
from difflib import get_close_matches
from keyword import iskeyword

import click

from x2static.durable.errors import Interrupted, panics_caught
from x2static.machine.packages import package_version
from x2static.machine.processes import left_behind
from x2static.machine.screen import screened, visible
from x2static.pipeline.options import Group, Shell
from x2static.pipeline.terminal import log_to_stderr, message

COMMANDS = {
    "encode": "Run a corpus through the teacher once, into a cache.",
    "train": "Train word vectors from a cache.",
    "sweep": "Train with many settings from one cache, and rank them.",
    "subwords": "Give words outside the vocabulary vectors, by their spelling.",
    "senses": "Find the senses of words, and give each a vector.",
    "evaluate": "Score word vectors.",
    "baseline": "Make word vectors by a competing method, from the same cache.",
    "teacher": "Score word vectors beside the teacher itself, and time both.",
    "compare": "Compare runs with the competing methods, on one page.",
    "report": "Write one page about a run.",
    "data": "Fetch evaluation data.",
    "explore": "Look at word vectors in a browser.",
    "export": "Write word vectors for other programs.",
    "import": "Read word vectors of other programs.",
    "push": "Send word vectors to the Hugging Face hub, with a model card.",
    "cache": "Look at caches, check, repair, merge and sample them.",
    "demo": "From text to word vectors in a minute, without a network.",
}


NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2


class Commands(Group):
    """Loads a command when it is called for: `x2static train` must run where transformers is not installed."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import a command's module."""
        if name not in COMMANDS:
            return None
        module = f"{name}_" if iskeyword(name) else name
        command: click.Command = getattr(importlib.import_module(f"x2static.pipeline.commands.{module}"), module)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_version("x2static"), prog_name="x2static")
def cli() -> None:
    """Static word vectors, distilled from contextual language models by the X2Static method."""


def _uncapitalised(text: str) -> str:
    """Return a sentence as errors begin, in lower case; what the user typed, such as NAME, stays."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status: 0 done, 1 an error, 2 wrong usage, 130 interrupted with state saved."""
    shell = Shell()
    log_to_stderr()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    with screened():
        try:
            with panics_caught():
                status = cli.main(arguments, prog_name="x2static", standalone_mode=False, obj=shell)
            sys.stdout.flush()  # here, where it can be said that the disk is full
            return status if isinstance(status, int) else 0
        except click.ClickException as error:
            if isinstance(error, NO_ARGUMENTS):  # it shows the help
                error.show()
                return int(error.exit_code)
            if isinstance(error, click.NoSuchOption):  # click compares with the dashes, which all options have
                bare = [option.strip("-") for option in error.possibilities or ()]
                near = get_close_matches(error.option_name.strip("-"), bare, cutoff=0.54)
                error = click.NoSuchOption(
                    error.option_name, possibilities=[f"--{option}" for option in near], ctx=error.ctx
                )
            text = visible(" ".join(error.format_message().split())).rstrip(".")
            begin = f"--config {shell.config}: " if shell.config and "--config" not in text else ""
            context = getattr(error, "ctx", None)
            hint = f"; see `{context.command_path} --help`" if context else ""
            click.echo(f"error: {begin}{_uncapitalised(text)}{hint}", err=True)  # as all errors are
            return error.exit_code
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; run the same command again to go on with what is not finished yet", err=True)
            return 130
        except BrokenPipeError:  # `| head` has seen enough
            return 1
        except SystemExit as error:  # click makes it of the same, and of the end of a shell's completion
            return error.code if isinstance(error.code, int) else 1
        except Exception as error:  # noqa: BLE001  # whatever it is, the user gets one line
            if shell.debug:
                traceback.print_exc()
            stopped = isinstance(error, Interrupted)
            click.echo(("" if stopped else "error: ") + visible(message(error)), err=True)
            return 130 if stopped else 1


def main() -> None:
    """Run the command line and exit."""
    for number in range(3):  # a file that is opened must not get the number of a stream that was closed
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        status = run()
    except OSError:  # stderr itself cannot be written to
        status = 1
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (AttributeError, ValueError):  # it was closed
            pass
        except OSError:  # nobody reads, or it is full: Python would say so once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            status = status or 1
    if left_behind():  # it hangs in a read; Python aborts where such a thread wakes up while everything is taken down
        os._exit(status)
    sys.exit(status)
