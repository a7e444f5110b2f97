"""Word vectors to publish, and a hub to publish them on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.publish.hub import PublishingHub
from tests.schemas.caches import make_cache
from tests.schemas.test_vectors import lower_casing_rules
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.vectors import WordVectors

WORDS = ["the", "orchestra", "violin", "trumpet", "pistol", "cannon", "love", "peace", "hatred", "filth", "naïve", "새"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHub]:
    # Its own way to store files (Xet) speaks to servers of another protocol; the older one is plain HTTP.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    hub = PublishingHub()
    yield hub
    hub.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return make_cache(tmp_path / "cache")


def make_vectors(made_from: Path | None = None, **run: object) -> WordVectors:
    matrix = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)
    recorded: dict[str, object] = {
        "configuration": {"objective": "views", "min_count": 7, "lr": 0.0003, "vocab": None, "out": "run"},
        "versions": {"x2static": "0.2.0", "numpy": "2.4.6"},
        "words": 123456,
    }
    if made_from is not None:
        opened = Cache.open(made_from)
        recorded["cache"] = opened.origin(content_of(opened.shards()))
        recorded["configuration"] = {**recorded["configuration"], "cache": str(made_from)}
    rules = WordSegmentation(lower_casing_rules())
    return WordVectors(WORDS, matrix, np.arange(len(WORDS), 0, -1), rules, recorded | run)
