"""What all tests may ask for."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Where the shared corpora and data sets are; a test that needs them is skipped without."""
    named = os.environ.get("X2STATIC_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    if not (folder / "wordsim").is_dir():
        pytest.skip(f"needs the shared data: {folder} has none; set X2STATIC_SHARED to its folder")
    return folder


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """Let pytest see what is logged, also after a test that ran the command line, which sends it to stderr alone."""
    yield
    logger = logging.getLogger("x2static")
    logger.handlers, logger.propagate = [], True
