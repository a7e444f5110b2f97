"""A cache says what it was made with, so that its shards can be made again."""

import pytest

from tests.stage1_encode.runs import config_of, paragraphs, write_lines
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import ContextOptions, EncodeConfig, Filter, PlanOptions
from x2static.stage1_encode.cache_folder import settled
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.plan.origin import recorded_config

# Of a run, not of what it makes; the rest is recorded in places of its own.
OF_THE_RUN = {"cache", "device", "trust_remote_code", "workers", "encoders", "part", "append"}
ELSEWHERE = {"model", "revision", "corpus", "corpus_language", "limit", "format", "layer", "precision", "backend"}


def test_every_field_of_the_configuration_is_recorded_somewhere_or_of_the_run_alone():
    recorded = (
        ContextOptions.model_fields.keys() | Filter.model_fields.keys() | PlanOptions.model_fields.keys() | ELSEWHERE
    )
    assert recorded | OF_THE_RUN == EncodeConfig.model_fields.keys()


@pytest.mark.parametrize(
    "options",
    [
        {"context": "sentence", "dtype": "int8", "precision": "bfloat16"},
        {"compat": "paper", "context": "sentence", "limit": 7, "unit": 3},
        {"language": "de", "min_sentences": 2, "min_characters": 30, "on_bad_text": "skip", "max_paragraph_bytes": 500},
        {"sample": 0.7, "seed": 3, "layer": 1, "format": "blank-lines", "backend": "openvino"},
        {"layer": "0+last", "pooling": "max", "context_words": 3},
    ],
)
def test_what_was_asked_for_is_read_back(options, teacher, tmp_path):
    config = settled(
        config_of(teacher, write_lines(tmp_path / "text.txt", paragraphs(10)), tmp_path / "cache", **options)
    )
    encode(config)
    cache = Cache.open(config.cache)
    # What "auto" recognised is recorded, and how many paragraphs went with the corpus.
    found = {"format": options.get("format", "lines"), "unit": options.get("unit", 1024)}
    found["backend"] = options.get("backend", "torch")
    expected = config.model_copy(update=found)
    assert recorded_config(cache, cache.plans()[0], device="cpu") == expected
    changed = recorded_config(cache, cache.plans()[0], model="other", corpus=("moved.txt",))
    assert (changed.model, changed.corpus) == ("other", ("moved.txt",))
    if config.limit:  # one that was raised is the last one
        encode(config.model_copy(update={"limit": 9}))
        assert recorded_config(cache, cache.plans()[-1]).limit == 9
