"""`x2static sweep`: many trainings from one cache, scored and ranked."""

import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import claim, hash_file, only_writer, remove_leftovers, write_atomically
from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs
from x2static.machine.packages import require
from x2static.pipeline.commands.train import command_line, train
from x2static.pipeline.engines.places import PLACE_OPTIONS, place
from x2static.pipeline.options import DEFAULT, FOLDER, TEXT, Command, common, finish, given, say
from x2static.pipeline.sweeps import settings as sweeps
from x2static.pipeline.sweeps.settings import NOT_SWEPT, SWEEPABLE, Range, Space, WrongGrid, parse_grid
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.multiword import Multiword
from x2static.schemas.training import PAPER, TrainConfig, identifying
from x2static.stage2_train.shards import choose_shards

if TYPE_CHECKING:
    from x2static.pipeline.sweeps.results import Ranking
    from x2static.pipeline.sweeps.sweep import Sweep

logger = logging.getLogger(__name__)


@click.command(
    cls=Command, epilog="Example: x2static sweep --cache cache/mine --out sweeps/mine -p lr=1e-3,3e-3 -p negatives=5,10"
)
@click.option("--out", type=FOLDER, required=True, help="Folder of the sweep.")
@click.option(
    "-p", "--param", type=TEXT, multiple=True, metavar="NAME=V1,V2", help="Values of a setting; several -p make a grid."
)
@click.option("--space", type=FOLDER, help="TOML file of choices and ranges, from which Optuna proposes.")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Trials of a space.")
@click.option("--data", type=FOLDER, help="A file of word pairs, or a folder of them; else gensim's sets.")
@click.option("--select", type=TEXT, metavar="SET,SET", help="Data sets that the score is the mean of; all by default.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trials at a time.")
@click.option("--prune", is_flag=True, help="Stop trials that have learned less than half of what others had.")
@click.option("--retry-failed", is_flag=True, help="Try again what has failed.")
@common
def sweep(context: click.Context, /, **values: Any) -> None:
    """Train with many settings from one cache, score and rank them; the teacher is not needed.

    All options of `x2static train` set what the trials have in common. Run the same command again to go on where it
    stopped.
    """
    try:
        grid, space = parse_grid(values["param"]), sweeps.load_space(values["space"]) if values["space"] else None
        fixed = _fixed(context, values, list(space or grid))
    except WrongGrid as error:
        raise click.UsageError(str(error)) from error
    if (space is None) == (not grid):
        raise click.UsageError("give either -p NAME=V1,V2 (once or more) or --space FILE")
    require("train", "sweep")
    from x2static.pipeline.sweeps.results import Ranking
    from x2static.pipeline.sweeps.sweep import Sweep
    from x2static.pipeline.sweeps.trial import TRIALS, load_all, refuse_changed
    from x2static.stage2_train.objectives.views import settled

    started = time.monotonic()
    out: Path = values["out"]
    select = tuple(name.strip() for name in (values["select"] or "").split(",") if name.strip())
    if fixed.get("init") == "auto":
        # As trials find it: so a sweep goes on that began before there was a choice.
        shared = {"objective": "negative-sampling", **fixed, "out": out}
        chosen = settled(TrainConfig.model_validate(shared), Cache.open(values["cache"]))
        fixed["init"] = chosen.init
        if "prior" in fixed and "objective" in fixed:
            fixed["prior"] = chosen.prior
    contents = sweeps.contents_of(space or grid)
    identity = _identity(fixed, space or grid, contents, values, select)
    with only_writer(out, "sweep"):
        claim(out, "sweep.json", "sweep", identity)
        remove_leftovers(out / TRIALS)
        refuse_changed(out)
        source = sweeps.Grid(grid)
        if space is not None:
            from x2static.pipeline.sweeps.study import JOURNAL, Study

            source = Study(out / JOURNAL, space, values["trials"], fixed.get("seed", 0), True, contents)
        where = {name: values[name] for name in PLACE_OPTIONS}
        with place(values["jobs"], values["device"], **where) as machines, ProgressLine("sweep") as report:
            options = {name: values[name] for name in ("out", "data", "jobs", "prune", "retry_failed")}
            options |= {"report": report, "place": machines}
            trials = Sweep(fixed=fixed, contents=contents, source=source, select=select, **options)
            trials.run()
        # With trials of earlier calls, whose values the grid may no longer name.
        ranking = Ranking(source.names, select, load_all(out))
        facts = _facts(ranking, trials, values["cache"], time.monotonic() - started)
        for warning in ranking.warnings():
            logger.warning("%s: %s", out, warning)
        ranking.write(out / "sweep.parquet")
        pictures = ranking.pictures()
        for picture in pictures:
            write_atomically(out / f"{picture.name}.png", picture.png)
        write_atomically(out / "sweep.html", ranking.page(facts, pictures).html().encode())
    say(context, ranking.text(shutil.get_terminal_size((120, 24)).columns))
    say(context, f"\n{out}: {facts['trials']}\nscore: {facts['score']}")
    say(context, f"all figures in {out / 'sweep.parquet'}, plots in {out / 'sweep.html'}")
    if not ranking.states["complete"]:
        errors = [f"; {row.name}: {row.error}" for row in ranking.results if row.error]
        raise X2StaticError(f"{out}: no trial has a score" + "".join(errors[:1]))
    winner = None
    if (best := ranking.best) is not None:
        path = str(out / TRIALS / best.name)
        say(context, f"best: {path}")
        winner = {"settings": best.settings, "score": ranking.scores[best.name], "path": path}
    seconds = round(time.monotonic() - started, 3)
    finish(context, {"trials": len(ranking.results), **ranking.states, "best": winner, "seconds": seconds})


# The settings that all trials have in common.
# A sweep asks for a purpose by --objective; subwords are for the vectors that are kept, and parts for what is large.
_OWN = {*(parameter.name for parameter in sweep.params), "for", "subwords", "parts"}
sweep.params += [parameter for parameter in train.params if parameter.name not in _OWN]


def _fixed(context: click.Context, values: dict[str, Any], swept: list[str]) -> dict[str, Any]:
    """Return the settings that all trials have in common, checked; one that is swept as well is a WrongGrid."""
    fixed = {}
    for field in [*SWEEPABLE, *sorted(NOT_SWEPT - {"out"})]:
        name = field.removesuffix("_run")
        option = f"--{name.replace('_', '-')}"
        if field not in swept:
            fixed[field] = sweeps.parse(field, values[name], option)
        elif context.get_parameter_source(name) != DEFAULT:
            raise WrongGrid(f"{option} is given, and {field} is swept; give one of the two")
    if values["compat"] == "paper":
        named = given(context, values)
        fixed |= {name: value for name, value in PAPER.items() if name not in named and name not in swept}
    return fixed


def _identity(
    fixed: dict[str, Any],
    swept: dict[str, Any] | Space,
    contents: dict[str, str],
    values: dict[str, Any],
    select: tuple[str, ...],
) -> dict[str, Any]:
    """Return all that has to be equal for the scores of two trials to be comparable, by name: of files the content."""
    cache = Cache.open(values["cache"])
    shards = list(choose_shards(cache, fixed["partial"]).values())  # or every trial would fail by it
    files = find_word_pairs(values["data"])
    for path in files:  # what is wrong with one is said now, not after every training
        read_word_pairs(path)
    sets = {path.stem: hash_file(path) for path in files}
    if unknown := sorted(set(select) - sets.keys()):
        raise X2StaticError(f"--select {', '.join(unknown)}: no such data set; there are {', '.join(sets)}")
    vocab, before, space = fixed.get("vocab"), fixed["continue_run"], None
    if values["space"]:
        space = {name: entry.model_dump() if isinstance(entry, Range) else entry for name, entry in swept.items()}
        if "vocab" in space:
            space["vocab"] = [contents.get(value) for value in space["vocab"]]
    names = [name for field in ("objective", "init") for name in swept.get(field, [fixed.get(field)])]
    fixed_alone = {name: value for name, value in fixed.items() if name not in NOT_SWEPT}
    identity = identifying(fixed_alone, *map(str, names))
    identity |= {
        "compat": fixed["compat"],
        "vocab": None if vocab is None else hash_file(Path(vocab)),
        "cache_content": content_of(shards),
    }
    entries = fixed["multiword"]
    identity |= Multiword.load(None if entries is None else Path(entries), cache.segmentation()).identity
    if before is not None:
        from x2static.stage2_train.checkpoint import Predecessor  # torch

        identity["continue"] = Predecessor.open(Path(before)).content
    if fixed["buffer_megabytes"] != TrainConfig.model_fields["buffer_megabytes"].default:
        identity["buffer_megabytes"] = fixed["buffer_megabytes"]  # contexts are shuffled in it; 0.1.0 kept no value
    return {**identity, "swept": sorted(swept), "space": space, "data": sets, "select": sorted(select)}


def _facts(ranking: "Ranking", trials: "Sweep", cache: Path, seconds: float) -> dict[str, str]:
    """Return what a reader of the results wants to know, by what it is."""
    counts = [f"{count} {state}" for state, count in ranking.states.items() if count]
    facts = {
        "cache": str(cache),
        "trials": ", ".join(counts) + f"; this call took {duration(seconds)}",
        "score": "Spearman's rho, the mean over " + ", ".join(name for name in ranking.sets if ranking.counts(name)),
    }
    first, again = ranking.results[0], "train it anew"
    if ranking.best is not None:
        facts["best"] = ", ".join(f"{name} {sweeps.shown(first.settings[name])}" for name in ranking.names)
    else:
        again = f"train {first.name} anew"
    if first.state == "complete":
        threads = first.figures.get("threads")  # the last bits of the vectors depend on it
        facts[again] = (f"OMP_NUM_THREADS={threads} " if threads else "") + command_line(trials.config(first))
    return facts
