"""Units for several encoders, and what one process makes of them."""

from pathlib import Path

import pytest

from tests.stage1_encode.conftest import Readers, readers  # noqa: F401
from tests.stage1_encode.runs import config_of, files_of, paragraphs, run, write_lines
from x2static.schemas.encoding import EncodeConfig


@pytest.fixture(scope="module")
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text of as many units as the module says."""
    return write_lines(tmp_path_factory.mktemp("corpus") / "text.txt", paragraphs(4 * request.module.N_UNITS))


@pytest.fixture
def config(readers: Readers, corpus: Path, tmp_path: Path) -> EncodeConfig:  # noqa: F811
    """These units for two encoders."""
    return config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=4, encoders=2)


@pytest.fixture(scope="module")
def once(readers: Readers, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:  # noqa: F811
    """The files of a cache that one process made."""
    folder = tmp_path_factory.mktemp("once") / "cache"
    run(readers("bert").teacher.folder, corpus, folder, unit=4)
    return files_of(folder)
