"""`x2static encode`: stage one."""

import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import lines_of
from x2static.machine.cluster import connect
from x2static.machine.packages import require
from x2static.machine.screen import quantity
from x2static.pipeline.engines.places import check_place, place_options
from x2static.pipeline.engines.registry import find_engine
from x2static.pipeline.options import CACHE, FOLDER, TEXT, Command, build, common, finish, given, option, options
from x2static.pipeline.terminal import ProgressLine, duration, size
from x2static.schemas.encoding import EncodeConfig, Layer, split_layers, without_region
from x2static.schemas.training import TrainConfig

if TYPE_CHECKING:
    from x2static.stage1_encode.dictionary import Dictionary
    from x2static.stage1_encode.plan.origin import Origin

logger = logging.getLogger(__name__)


def _of_dictionary(context: click.Context, _: click.Parameter, licence: str | None) -> str | None:
    """Refuse a licence of nothing."""
    if licence is not None and context.params.get("dictionary") is None:
        raise click.UsageError("--licence is that of a dictionary; give --dictionary, too")
    return licence


DICTIONARY = click.option(
    "--dictionary",
    type=FOLDER,
    is_eager=True,  # --licence looks for it
    help="Read the words with what a dictionary says of them, too: a file of lines WORD<TAB>SYNONYM|SYNONYM<TAB>GLOSS, "
    "frequent senses first, or the folder of WordNet's database files.",
)
LICENCE = click.option(
    "--licence",
    type=TEXT,
    callback=_of_dictionary,
    help="That of the dictionary; WordNet's files say it themselves.",
)


def _listed_words(context: click.Context, _: click.Parameter, ase: str | None) -> list[str] | None:
    """Return the words that --ase names."""
    if ase is None:
        return None
    if ase == "all-in-eval":
        from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs

        pairs = [pair for file in find_word_pairs(context.params.get("data")) for pair in read_word_pairs(file)]
        return [word for pair in pairs for word in (pair.first, pair.second)]
    words = lines_of(Path(ase), "a file of one word a line for --ase, or all-in-eval")
    listed = [word for line in words if (word := line.strip())]
    if not listed:
        raise X2StaticError(f"--ase {ase}: no word in it; list one word a line")
    return listed


def _listed_layers(_: click.Context, __: click.Parameter, layers: str | None) -> list[Layer]:
    """Return the layers that --state-layers names."""
    try:
        return split_layers(layers) if layers is not None else []
    except ValueError as error:
        raise click.UsageError(f"--state-layers {layers}: {error}") from error


def _own_states(config: EncodeConfig, asked: bool | None, layers: list[Layer]) -> tuple[bool, list[Layer]]:
    """Return whether word states are kept, and of which further layers.

    That is as asked, or as in the cache that is there; in a new one where they can be. What it keeps of further layers
    it goes on with; a finished one of before there were any states is not read again for them unasked.
    """
    from x2static.schemas.cache import MANIFEST, Cache
    from x2static.schemas.word_states import NAME, layer_of

    if asked is False and layers:
        raise click.UsageError("--state-layers adds to the word states that --no-word-states leaves out; give one")
    markers = Cache.open(config.cache).committed()[0] if (config.cache / MANIFEST).is_file() else {}
    names = {name for marker in markers.values() for name in marker.pools}
    if asked is None:
        asked = bool(layers) or (NAME in names if markers else config.compat is None)
    held = [layer for name in sorted(names) if (layer := layer_of(name)) is not None]
    return asked, layers + held if asked else []


def _occurrences(config: EncodeConfig, asked: int | None) -> int | None:
    """Return how many occurrences of each word are kept, with their states: as asked, or as in the cache that is there.

    Raises X2StaticError: the cache keeps another number.
    """
    from x2static.schemas.cache import MANIFEST, Cache
    from x2static.schemas.occurrences import n_of

    markers = Cache.open(config.cache).committed()[0] if (config.cache / MANIFEST).is_file() else {}
    held = {n for marker in markers.values() for name in marker.pools if (n := n_of(name)) is not None}
    if asked is not None and held - {asked}:
        there = f"the cache keeps {max(held)} of each word; leave the option out, or take another --cache"
        raise X2StaticError(f"--occurrences {asked}: {there}")
    return max(held, default=None) if asked is None else asked


def read_words_alone(
    folder: Path,
    origin: "Origin",
    min_count: int,
    phrases: bool = True,
    dictionary: "Dictionary | None" = None,
    multiword: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Read the words of a finished cache alone, in carrier phrases, with a dictionary; the teacher is loaded once more.

    Returns the figures of each of the two, by its name.
    """
    from x2static.schemas.cache import Cache
    from x2static.schemas.mirror import CacheView
    from x2static.stage1_encode.dictionary import read_dictionary
    from x2static.stage1_encode.phrases import read_phrases

    cache, figures = Cache.open(folder), {}
    if phrases:
        with ProgressLine("phrases") as report:
            figures["phrases"] = read_phrases(cache, origin, min_count, report, multiword)
    if dictionary is not None:
        with ProgressLine("dictionary") as report:
            figures["dictionary"] = read_dictionary(cache, origin, min_count, dictionary, report)
    if view := CacheView.of(folder):
        view.add_phrases()
    return figures


@click.command(cls=Command, epilog="Example: x2static encode --model demo --corpus corpus.txt --cache cache/mine")
@options(
    EncodeConfig,
    model="Hugging Face model id, local model folder, or demo.",
    corpus="File, folder or quoted pattern ('texts/**/*.jsonl.gz'), plain or compressed (.gz, .bz2, .xz, .zst), with "
    "#column for JSON lines, Parquet, CSV and TSV (text); - for standard input; hf://name/config:split#column; or demo."
    " May be given several times.",
    cache=("Folder that the cache is written to, or s3://BUCKET/FOLDER (gs://, az://).", CACHE),
    context="What the teacher reads at once.",
    context_words="A context is so many words that follow one another, not a sentence.",
    pooling="What a context vector is: the mean of its states; the largest of each dimension; the mean with weights by "
    "words' frequencies; that without punctuation and stop words; that without attention sinks.",
    append="Add the corpora to a finished cache; what is in it stays untouched.",
    layer="Layer whose states are averaged: last, 0 for the embeddings, n for block n, -1 and down from the end; "
    "0+last: the mean of the two.",
    limit="At most so many paragraphs of each corpus, before the filter; raise it to go on.",
    compat="Reproduce the paper's reference implementation.",
    dtype="Number format of the stored vectors.",
    precision="Number format of the teacher; int8, for OpenVINO, reads fastest and errs most.",
    device="Where the teacher runs.",
    backend="What computes its states; auto is the cache's own, and for a new cache of 8,192 paragraphs or more, on a "
    "processor, OpenVINO where it is installed.",
    compile="Let torch compile the teacher; on a CPU that takes a C++ compiler.",
    workers="Processes that prepare text; by default a thread on a CPU, up to 8 for an accelerator.",
    unit="Paragraphs in a unit, which is saved as a whole [default: 8192; fewer where these were not six units].",
    part="3/16: only every 16th unit, the third first, so that 16 machines share the work.",
    min_sentences="Drop paragraphs with fewer sentences [default: 1; with --compat paper 3].",
    min_characters="Drop paragraphs with fewer characters [default: 0; with --compat paper 140].",
    sample="Share of the paragraphs to take at random, such as 0.1.",
    seed="Another seed takes another sample.",
    format="How paragraphs stand in local files: one a line, between blank lines, as WikiExtractor writes them, in "
    "rows of JSON, in Parquet, or in a table of CSV or TSV; auto goes by names and content.",
    on_bad_text="What to do about text that is not UTF-8, a line that is too long, or a row of JSON without text; "
    "replace mends UTF-8 and fails for the rest.",
    max_paragraph_bytes="A longer line is bad text.",
    revision="Commit, tag or branch of a model on the hub.",
    trust_remote_code="Let a model run Python code of its own.",
)
@option(
    EncodeConfig,
    "language",
    "ISO 639-1 code of the text's language, for cutting sentences and, in zh, ja and th, words; given once for each "
    "--corpus, in their order, it is that corpus's.",
    multiple=True,
    default=[EncodeConfig.model_fields["language"].default],
)
@option(
    EncodeConfig,
    "mark_language",
    "Keep words apart by language, de:gift; else equal spellings are one word.",
)
@click.option(
    "--ase",
    type=TEXT,
    metavar="FILE|all-in-eval",
    callback=_listed_words,
    help="Add up the contextual vectors of these words, at every layer, on the way: a file of one word a line, or the "
    "words of the word-similarity sets.",
)
@click.option(
    "--word-states/--no-word-states",
    default=None,
    help="Keep the mean of every word's own states, and read the words alone, in carrier phrases: the views of a word "
    "that `train` begins with. By default as in the cache that is there; in a new one, unless with --compat.",
)
@click.option(
    "--state-layers",
    type=TEXT,
    metavar="LAYER,LAYER",
    callback=_listed_layers,
    help="Keep every word's own states at further layers, too, such as 0,3, for train --state-layers; a finished cache "
    "gets them by another reading. Those that the cache has stay.",
)
@click.option(
    "--masked",
    type=click.IntRange(min=1),
    metavar="K",
    help="Afterwards, read frequent words, masked, in at most so many of their sentences: see x2static cache masked.",
)
@click.option(
    "--occurrences",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=64,
    metavar="[N]",
    help="Keep of each word the states of N of its occurrences, drawn at random, 64 if N is left out: what `x2static "
    "senses` finds senses in. A finished cache gets them by another reading; one that has some goes on with them.",
)
@DICTIONARY
@LICENCE
@click.option(
    "--data",
    type=FOLDER,
    is_eager=True,  # the words of --ase are read from it
    help="For --ase all-in-eval: a file of pairs, or a folder of them; else gensim's sets.",
)
@option(
    EncodeConfig,
    "encoders",
    "Processes that a teacher is loaded in and that share the units; with Ray, by default one for each of its GPUs, or "
    "for each machine where it has none.",
)
@place_options
@click.option("--plan", is_flag=True, help="Print what the run would take, and do nothing.")
@common
def encode(
    context: click.Context,
    /,
    plan: bool,
    engine: str,
    address: str | None,
    gpus_per_worker: float | None,
    masked: int | None,
    dictionary: Path | None,
    licence: str | None,
    **values: Any,
) -> None:
    """Run a corpus through the teacher once and write averaged context vectors to a cache.

    Run the same command again to go on where it stopped.
    """
    started = time.perf_counter()
    values |= _languages(values["corpus"], values["language"], values["mark_language"], values["compat"])
    config = build(EncodeConfig, {name: values[name] for name in EncodeConfig.model_fields if name in values})
    require("encode")
    if dictionary is not None and config.part is not None:
        merge = "merge the parts, then give it to `x2static cache phrases`"
        raise X2StaticError(f"--dictionary {dictionary}: the words of a --part are not those of the corpus; {merge}")
    if masked is not None and config.part is not None:
        merge = "merge the parts, then run `x2static cache masked`"
        raise X2StaticError(f"--masked {masked}: the sentences of a --part are not those of the corpus; {merge}")
    check_place(engine, address, gpus_per_worker)
    _check_paths(config)
    what = f"{config.model} reads {', '.join(config.corpus)} into {config.cache}"
    logger.info("%s", f"plan: what it takes if {what}; nothing is written" if plan else what)
    # The clock goes on while libraries are imported.
    with ExitStack() as stack, ProgressLine("plan" if plan else "encode") as report:
        from x2static.stage1_encode.cache_folder import settled
        from x2static.stage1_encode.dictionary import open_dictionary
        from x2static.stage1_encode.pools.registry import wanted_pools

        meanings = open_dictionary(dictionary, licence) if dictionary is not None else None
        config = settled(config)
        own_states = _own_states(config, values["word_states"], values["state_layers"])
        values["word_states"], values["state_layers"] = own_states
        values["occurrences"] = _occurrences(config, values["occurrences"])
        pools = wanted_pools(config, values)
        if plan:
            from x2static.stage1_encode.plan.estimate import estimate

            figures = estimate(config, pools)
        else:
            from x2static.stage1_encode.encode import encode as run

            takes = {}
            if engine == "ray":
                stack.enter_context(connect(address))
                from x2static.pipeline.engines.ray import sized

                n_asked = config.encoders if "encoders" in given(context, values) else None
                config, takes["takes"] = sized(config, n_asked, 1.0 if gpus_per_worker is None else gpus_per_worker)
            result = run(config, report, pools, find_engine(engine, config, pools, **takes))
    if plan:
        finish(context, figures, *_plan_lines(figures))
        return
    from x2static.schemas.cache import Cache, kept_of
    from x2static.schemas.mirror import url_of
    from x2static.stage1_encode.plan.origin import Origin

    origin = Origin(None, config.corpus, config.device, config.trust_remote_code)
    least = int(TrainConfig.model_fields["min_count"].default)
    if masked is not None:
        from x2static.stage1_encode.masked import read_masked
        from x2static.stage1_encode.pools.masked import Masked

        with ProgressLine("masked") as report:
            read_masked(Cache.open(config.cache), origin, Masked(masked, min_count=least), report)
    if alone := config.part is None and (values["word_states"] or meanings is not None):
        read_words_alone(config.cache, origin, least, values["word_states"], meanings)
    if alone or masked or url_of(config.cache):
        result["cache_bytes"] = Cache.open(config.cache).n_bytes()
    result["seconds"] = round(time.perf_counter() - started, 3)  # with the start, and what is read alone
    units = f"{quantity(int(result['shards']), 'unit')} ({result['shards_resumed']:,} there before)"
    contexts, words = (quantity(int(result[f"{name}s"]), name) for name in ("context", "word"))
    held = f"{contexts}, {words}, {size(result['cache_bytes'])}"
    limits = int(result["min_sentences"]), int(result["min_characters"])
    finish(
        context, result, f"{config.cache}: {units}, {held}, in {duration(result['seconds'])}", kept_of(result, *limits)
    )


def _languages(
    corpora: tuple[str, ...], languages: tuple[str, ...], marked: bool, compat: str | None
) -> dict[str, str | tuple[str, ...]]:
    """Return the fields of the configuration that say which language each corpus is in."""
    each = tuple(map(without_region, languages))
    if len(each) not in (1, len(corpora)):
        several = f"{len(each)} of --language for {len(corpora)} of --corpus"
        raise click.UsageError(f"{several}; give one for each corpus, in their order, or one for all")
    if compat and (marked or len({*each}) > 1):
        raise click.UsageError(f"--compat {compat} reads text of one language, and does not mark it")
    if joined := [language for language in each if "+" in language]:
        raise click.UsageError(f"--language {joined[0]} is several; give --language once for each --corpus")
    return {"language": "+".join(sorted({*each})), "corpus_language": each if len({*each}) > 1 else ()}


def _check_paths(config: EncodeConfig) -> None:
    """Refuse what is not there before torch and transformers are imported, which takes five seconds."""
    from x2static.schemas.cache import may_become_cache
    from x2static.stage1_encode.corpora.sources import require_files
    from x2static.stage1_encode.teacher.files import local_folder

    may_become_cache(config.cache)
    require_files(config.corpus, config.cache)
    local_folder(config.model)


def _plan_lines(figures: dict[str, Any]) -> list[str]:
    """Return for people what `estimate` returns."""
    about = "" if figures["paragraphs_counted"] else "about "
    read, rate = not figures["units_left"], f" ({figures['tokens_per_second']:,.0f} a second here)"
    return [
        f"units          {figures['units']:,} ({figures['units_left']:,} to do)",
        f"paragraphs     {about}{figures['paragraphs']:,} ({figures['kept']:.0%}{'' if read else ' of a sample'} pass "
        "the filter)",
        f"contexts       {figures['sentences']:,}",
        f"teacher tokens {figures['teacher_tokens']:,}{'' if read else rate}",
        f"time           {'none, all is read' if read else duration(figures['seconds'])}",
        f"cache          {size(figures['cache_bytes'])}, free {size(figures['free_bytes'])}",
    ]
