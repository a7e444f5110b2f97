"""`x2static push`: word vectors to the Hugging Face hub, with a model card."""

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import package_version, require
from x2static.pipeline.evaluations.registry import EVALUATIONS, EvaluateConfig, fetched_data, runner
from x2static.pipeline.options import FOLDER, TEXT, Command, common, finish, given

if TYPE_CHECKING:
    from x2static.pipeline.publish.upload import Hub
    from x2static.report.table import Table
    from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

SCORED = ("word-similarity", "sentence-similarity", "analogy")  # in seconds each, and about the vectors alone


@click.command(cls=Command, epilog="Example: x2static push runs/mine OWNER/NAME")
@click.argument("vectors", type=FOLDER)
@click.argument("name", type=TEXT)
@click.option("--private", is_flag=True, help="Only you, or the group that owns it, can see it.")
@click.option("--licence", type=TEXT, help='Of the vectors: an id of the hub, "cc-by-4.0" [default: unknown].')
@click.option("--teacher-licence", type=TEXT, help="Of the teacher [default: what its card on the hub states].")
@click.option("--corpus-licence", type=TEXT, help="Of the corpora [default: what the cache or the hub states].")
@click.option("--cache", type=FOLDER, help="Where the cache of the vectors is now, which knows the corpora.")
@click.option("--data", type=FOLDER, help="Folder of evaluation data; the card has scores on what is there.")
@click.option(
    "--sentence-transformers/--no-sentence-transformers",
    default=True,
    show_default=True,
    help="Send what SentenceTransformer(NAME) reads, too; the matrix is then there twice.",
)
@click.option("--message", type=TEXT, help="Of the commit [default: the version of x2static].")
@click.option("--dry-run", is_flag=True, help="Send nothing: show the card, and the files that would be sent.")
@common
def push(context: click.Context, /, vectors: Path, name: str, dry_run: bool, **values: Any) -> None:
    """Send word vectors to the Hugging Face hub, with a model card.

    VECTORS is a run, NAME its name on the hub, OWNER/NAME. WordVectors.from_pretrained(NAME) reads them from there. A
    README.md that is in the folder is sent as it is, in place of the card that is made. What is there is replaced.
    SentenceTransformer(NAME) reads them, too, unless a segmenter cuts their words.
    """
    _check(context, vectors, name, values)
    require("hub")
    from x2static.pipeline.publish.card import README
    from x2static.pipeline.publish.upload import Hub, files_of, for_sentence_transformers, require_token, send
    from x2static.schemas.vectors import WordVectors, require_finished

    require_finished(vectors)
    hub = Hub()
    if not dry_run:
        require_token()  # before the seconds that scores take
    own = vectors / README
    with TemporaryDirectory() as beside:
        files, loaded = files_of(vectors), WordVectors.load(vectors)
        more = for_sentence_transformers(loaded, Path(beside)) if values["sentence_transformers"] else {}
        names = [README, *more, *files]
        try:
            card = own.read_text("utf-8") if own.is_file() else make_card(loaded, name, values, hub, names)
        except UnicodeDecodeError as error:
            raise X2StaticError(f"{own}: not valid UTF-8; save the file as UTF-8") from error
        result: dict[str, Any] = {"name": name, "files": names, "commit": None}
        if dry_run:
            return finish(context, result, card, f"{name}: nothing sent; it would be {', '.join(names)}")
        message = values["message"] or f"Word vectors of x2static {package_version('x2static')}"
        result["commit"] = send(vectors, card, name, hub, message, values["private"], more)
    readers = [f"WordVectors.from_pretrained({name!r})", *([f"SentenceTransformer({name!r})"] if more else [])]
    return finish(context, result, f"{name}: {len(names)} files sent, for {' and '.join(readers)}")


def _check(context: click.Context, vectors: Path, name: str, values: dict[str, Any]) -> None:
    """Refuse, before anything is read, a name that the hub has not, and options that would change nothing."""
    from x2static.schemas.pretrained import HUB_NAME

    if not HUB_NAME.fullmatch(name):
        raise click.UsageError(f"{name}: names on the hub are OWNER/NAME, of letters, digits, '-', '_' and '.'")
    of_card = {"licence", "teacher_licence", "corpus_licence", "cache", "data"} & given(context, values).keys()
    if of_card and (vectors / "README.md").is_file():
        options = ", ".join(f"--{option.replace('_', '-')}" for option in sorted(of_card))
        raise click.UsageError(f"{vectors} has a README.md, which is sent as it is; leave {options} out, or move it")


def make_card(vectors: "WordVectors", name: str, values: dict[str, Any], hub: "Hub", files: list[str]) -> str:
    """Return the card of vectors, which stands beside files of these names."""
    from x2static.pipeline.publish.card import PLAIN_ID, Facts, model_card
    from x2static.pipeline.publish.provenance import find_provenance, names_of_folders
    from x2static.pipeline.publish.upload import with_licences

    licence = values["licence"] and values["licence"].lower()
    if licence and not PLAIN_ID.fullmatch(licence):
        raise click.UsageError(f'--licence {licence}: not an id such as "apache-2.0"; a text of your own is "other"')
    provenance = find_provenance(vectors.run, values["cache"])
    if provenance.teacher and values["teacher_licence"]:
        provenance = replace(provenance, teacher=replace(provenance.teacher, licence=values["teacher_licence"]))
    if values["corpus_licence"]:
        corpora = (replace(corpus, licence=values["corpus_licence"]) for corpus in provenance.corpora)
        provenance = replace(provenance, corpora=tuple(corpora))
    if not licence:
        logger.warning(
            'the licence of the vectors is "unknown": nobody knows whether they may be used; --licence says it'
        )
    if names := names_of_folders(vectors.run):
        logger.warning("run.json names folders of this machine (%s); whoever can see it sees them", ", ".join(names))
    scores, bias = _scores(name.rpartition("/")[2], vectors, values["data"])
    return model_card(vectors, name, Facts(with_licences(provenance, hub), licence, files, scores, bias))


def _scores(name: str, vectors: "WordVectors", data: Path | None) -> "tuple[list[Table], Table | None]":
    """Return the tables of the tasks that there is data for in `data`, and of the bias check also of fetched data."""

    def tables(task: str, folder: Path | None) -> "list[Table]":
        return runner(task)({name: vectors}, EvaluateConfig(folder)).tables

    tasks = [task for task in (*SCORED, "bias") if data and (data / EVALUATIONS[task].data.folder).is_dir()]
    if data is not None and not tasks:
        folders = ", ".join(EVALUATIONS[task].data.folder for task in (*SCORED, "bias"))
        raise X2StaticError(f"{data}: none of the folders of evaluation data is here ({folders})")
    scores = [table for task in tasks if task != "bias" for table in tables(task, data)]
    try:
        return scores, tables("bias", data if "bias" in tasks else fetched_data("bias"))[0]
    except X2StaticError as error:
        if "bias" in tasks:
            raise
        logger.info("the card has no bias check: %s", error)
        return scores, None
