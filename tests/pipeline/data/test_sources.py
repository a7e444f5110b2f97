"""The table is of public files at pinned commits."""

import re
from pathlib import Path

import pytest

from x2static.pipeline.data.convert import FORMS
from x2static.pipeline.data.sources import SETS

PINNED = re.compile(r"https://raw\.githubusercontent\.com/([^/]+)/([^/]+)/([0-9a-f]{40})/([\w./-]+)")
FILES = [file for data_set in SETS.values() for file in data_set.files]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
def test_every_source_is_a_file_at_a_commit_with_a_sha256_and_a_place_of_its_own(file):
    assert PINNED.fullmatch(file.url)
    assert re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert 0 < file.n_bytes < 2_000_000
    assert re.fullmatch(r"[a-z-]+(/[A-Z0-9-]+)?/[A-Za-z0-9-]+\.(tsv|txt|json)", file.path)
    assert file.form in FORMS


def test_no_two_files_are_one_and_every_set_says_its_licence_and_has_a_folder_to_itself():
    for name in ("url", "sha256", "path"):
        assert len({getattr(file, name) for file in FILES}) == len(FILES)
    assert all(data_set.licence and data_set.about for data_set in SETS.values())
    homes = {name: {Path(file.path).parent for file in data_set.files} for name, data_set in SETS.items()}
    for name, data_set in SETS.items():
        if len(data_set.files) > 1:
            (home,) = homes[name]
            assert not any(home in homes[other] for other in SETS if other != name)
