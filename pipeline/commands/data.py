"""`x2static data`: public evaluation data, fetched by https and checked."""

import shlex
from pathlib import Path

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.machine.screen import quantity
from x2static.pipeline.data.download import Unreachable
from x2static.pipeline.data.fetch import data_folder, fetch, is_there
from x2static.pipeline.data.sources import SETS, DataSet
from x2static.pipeline.options import FOLDER, TEXT, Group, common, finish, say
from x2static.pipeline.terminal import size

TO = click.option("--to", type=FOLDER, help="The folder, instead of x2static/data in the user's cache folder.")


@click.group(cls=Group)
def data() -> None:
    """Fetch public evaluation data, say what there is and where.

    First `x2static data fetch`, then `x2static evaluate VECTORS --data "$(x2static data path)"`. Nothing of it is part
    of x2static: each set comes from a public repository, at a pinned commit and with a pinned sha256, under the licence
    that is shown.
    """


@data.command("fetch", epilog="Example: x2static data fetch all")
@click.argument("names", type=TEXT, metavar="[NAME...|all]", nargs=-1)
@TO
@common
def fetch_command(context: click.Context, names: tuple[str, ...], to: Path | None) -> None:
    """Download data sets, all or by name.

    What is there already is left as it is.
    """
    chosen, folder = _chosen(names), to or data_folder()
    states: dict[str, str] = {}
    refused: dict[str, str] = {}
    with only_writer(folder, "data folder"):
        for data_set in chosen:
            more = f" and {len(data_set.files) - 1} more" if len(data_set.files) > 1 else ""
            say(context, f"{data_set.name}: {data_set.about}\n  licence: {data_set.licence}")
            say(context, f"  source: {data_set.files[0].url}{more}, {size(data_set.n_bytes)}")
            try:
                states[data_set.name] = "fetched" if fetch(folder, data_set) else "was there"
            except Unreachable:  # then the others are, too
                raise
            except X2StaticError as error:
                refused[data_set.name] = str(error)
                say(context, "  REFUSED")
                continue
            paths = ", ".join(str(folder / file.path) for file in data_set.files)
            say(context, f"  {states[data_set.name]}: {paths}")
    finish(context, {"folder": str(folder), "sets": states, "refused": refused})
    if refused:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise X2StaticError(f"refused: {len(refused)} of {quantity(len(chosen), 'data set')}: {reasons}")
    click.echo(f"now: x2static evaluate VECTORS --data {shlex.quote(str(folder))}", err=True)


def _chosen(names: tuple[str, ...]) -> list[DataSet]:
    """Return the sets of these names, each once; all where there is none, or "all". Refuse a name that is unknown."""
    known = {name.lower(): data_set for name, data_set in SETS.items()}
    wanted = dict.fromkeys(name.lower() for name in names)
    if unknown := [name for name in names if name.lower() not in {*known, "all"}]:
        raise click.UsageError(f"no data set is called {', '.join(unknown)}; there are {', '.join(SETS)}, and all")
    return list(SETS.values()) if not wanted or "all" in wanted else [known[name] for name in wanted]


@data.command("list", epilog="Example: x2static data list")
@TO
@common
def list_command(context: click.Context, to: Path | None) -> None:
    """Show what can be fetched.

    Each set with its task, size, whether it is there, and its licence.
    """
    folder = to or data_folder()
    sets = {}
    names, tasks = max(map(len, SETS)), max(len(data_set.task) for data_set in SETS.values())
    for name, data_set in SETS.items():
        about = {key: getattr(data_set, key) for key in ("task", "about", "licence")}
        sources, there = [file.url for file in data_set.files], is_there(folder, data_set)
        sets[name] = {**about, "bytes": data_set.n_bytes, "sources": sources, "there": there}
        shown = f"{name:{names}}  {data_set.task:{tasks}}  {size(data_set.n_bytes):>8}  {'there' if there else '-':5}"
        say(context, f"{shown}  {data_set.licence}")
    n_there = sum(known["there"] for known in sets.values())
    last = f"{n_there} of {len(SETS)} are in {folder}; x2static data fetch NAME... gets the others"
    finish(context, {"folder": str(folder), "sets": sets}, last)


@data.command("path", epilog="Example: x2static evaluate runs/mine --data $(x2static data path)")
@common
def path_command(context: click.Context) -> None:
    """Print the folder of the fetched data, for --data."""
    folder = data_folder()
    if not any(is_there(folder, data_set) for data_set in SETS.values()):
        raise X2StaticError(f"{folder}: nothing was fetched yet; run `x2static data fetch`, or give --data a folder")
    finish(context, {"folder": str(folder)}, str(folder))
