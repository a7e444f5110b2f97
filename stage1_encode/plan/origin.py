"""What a cache was made from, found again: its settings, its corpora by their content, its teacher by its files."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import ContextOptions, EncodeConfig, Filter, PlanOptions
from x2static.schemas.manifest import Plan
from x2static.stage1_encode.cache_folder import encoding_differences
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import Source, open_corpora
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder
from x2static.stage1_encode.plan.planning import corpus_groups
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.text.segmentation import log_words


@dataclass(frozen=True)
class Origin:
    """Where teacher and texts of a cache are now, and what reads them again."""

    model: str | None  # where the teacher is now; None for where it was
    corpora: tuple[str, ...]  # where texts are now, in any order; they are known by their content
    device: str  # where the teacher runs
    trust_remote_code: bool  # let a model on the hub run its own Python code
    part: str | None = None  # "3/16" takes only this part of the units

    def changes(self) -> dict[str, Any]:
        """Return the fields of a recorded configuration that are otherwise now."""
        moved = {} if self.model is None else {"model": self.model, "revision": None}
        return {"device": self.device, "trust_remote_code": self.trust_remote_code, **moved}


def recorded_config(cache: Cache, plan: Plan, **changes: Any) -> EncodeConfig:
    """Return the configuration that a plan of a cache was made with, and would make its shards again.

    A plan's own, since the corpora of a merged cache may have been cut otherwise each; of a corpus whose limit was
    raised, the latest. `changes` are fields that are to be otherwise: where teacher or text is now, the device.
    """
    manifest, encoding = cache.manifest, cache.manifest.encoding
    limit = None if plan.limit is None else plan.first + plan.limit
    values: dict[str, Any] = {"corpus": (plan.corpus,), "cache": cache.path, "limit": limit}
    values["corpus_language"] = (plan.language,) if plan.language else ()
    values |= {"model": manifest.teacher, "revision": manifest.revision, "format": plan.identity.get("format", "auto")}
    values |= encoding.model_dump(
        include={"layer", "precision", "backend", *ContextOptions.model_fields, *Filter.model_fields}
    )
    values |= plan.model_dump(include=set(PlanOptions.model_fields))
    return EncodeConfig.model_validate(values | changes)


def find_sources(
    cache: Cache, plans: list[Plan], needed: Iterable[int], origin: Origin, stack: ExitStack
) -> list[Source]:
    """Open the corpora of those plans of a cache whose numbers are needed; the stack closes them."""
    wanted = set(needed)
    return [
        Source(_find_corpus(cache, plans[group[-1]], origin, stack), plans[group[-1]].identity, tuple(group))
        for group in corpus_groups(plans)
        if wanted.intersection(group)
    ]


def _find_corpus(cache: Cache, plan: Plan, origin: Origin, stack: ExitStack) -> Corpus:
    column = f"#{plan.seen['column']}" if plan.seen.get("column") else ""
    # As named, or, from another working folder, where it was.
    recorded = [plan.corpus, *([f"{plan.seen['path']}{column}"] if "path" in plan.seen else [])]
    problems = []
    for place in dict.fromkeys([*origin.corpora, *recorded]):
        try:
            opened = open_corpora((place,), recorded_config(cache, plan), cache.path, spool=False)
            (corpus,) = stack.enter_context(opened)
            identity = plan.identity if corpus.seen() == plan.seen else corpus.identity()
        except X2StaticError as error:
            problems.append(str(error))
            continue
        if identity == plan.identity:
            return corpus
        problems.append(f"{place} holds another text")
    why = f"the corpus {plan.corpus} is needed to encode its shards again, and is not found ({'; '.join(problems)})"
    raise X2StaticError(f"{cache.path}: {why}; name it where it is now with --corpus")


def find_teacher(cache: Cache, plan: Plan, origin: Origin, occurrences: bool = False, **otherwise: Any) -> Encoder:
    """Load the teacher that a cache was made with, for looking at the contextual vectors of words, if these are wanted.

    `otherwise` are fields of the configuration that are to be otherwise than recorded: layer, precision.
    """
    # What a library could not take was left out by whoever encoded it; the plan may be older than that decision.
    config = recorded_config(cache, plan, **origin.changes(), on_bad_text="skip")
    try:
        files = TeacherFiles.find(config.model, config.revision)
    except X2StaticError as error:
        raise X2StaticError(f"{error}; {cache.path} needs it, name it where it is now with --model") from error
    if problems := encoding_differences(cache, ChosenTeacher(config, files)):
        why = f"what is here would encode otherwise than the cache was made (cache != here): {'; '.join(problems)}"
        remedy = "Name its teacher with --model, and use the versions in its manifest.json"
        raise X2StaticError(f"{cache.path}: {why}. {remedy}")
    log_words(config.compat, config.language)
    if otherwise.get("precision", config.precision) != config.precision:
        otherwise["backend"] = "auto"  # the cache's need not compute with it
    encoder = ChosenTeacher(config.model_copy(update=otherwise), files).load(occurrences)
    changes, theirs = encoder.teacher.tokenizer.changes, cache.manifest.encoding.tokenizer_changes
    if changes != theirs:  # known once it is loaded
        raise X2StaticError(
            f"{cache.path}: this cache was made with other pieces ({theirs!r} != {changes!r}); make anew"
        )
    return encoder
