"""The table is of public files at pinned commits; where their repositories are at hand, they are what it says."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.data.conftest import run_alone
from tests.pipeline.data.server import Proxy, sends
from x2static.evaluation.word_pairs import read_word_pairs
from x2static.pipeline.data.convert import FORMS
from x2static.pipeline.data.sources import SETS, RemoteFile

PINNED = re.compile(r"https://raw\.githubusercontent\.com/([^/]+)/([^/]+)/([0-9a-f]{40})/([\w./-]+)")
FILES = [pytest.param(file, id=file.path) for data_set in SETS.values() for file in data_set.files]
# Lines of the converted files, counted in what their authors published.
LINES = {
    "wordsim/rg65.tsv": 65,
    "wordsim/ws353.tsv": 353,
    "wordsim/ws353-similarity.tsv": 203,
    "wordsim/ws353-relatedness.tsv": 252,
    "wordsim/simlex999.tsv": 999,
    "wordsim/simverb3500.tsv": 3500,
    "wordsim/rw2034.tsv": 2034,
    "wordsim/men.tsv": 3000,
    "wordsim/mturk771.tsv": 771,
    "classification/CR/all.tsv": 3775,
    "classification/MR/all.tsv": 10662,
    "classification/MPQA/all.tsv": 10606,
    "classification/SUBJ/all.tsv": 10000,
    "classification/TREC/train.tsv": 5452,
    "classification/TREC/test.tsv": 500,
    "classification/SST-5/train.tsv": 8544,
    "classification/SST-5/dev.tsv": 1101,
    "classification/SST-5/test.tsv": 2210,
    "analogy/questions-words.txt": 19544 + 14,
    "sentence-similarity/stsb.tsv": 1379,
    "bias/WEAT.json": 493,
}


def published(file: RemoteFile) -> bytes:
    """The file as its repository holds it, from a folder of bare repositories OWNER+NAME/repo."""
    named = os.environ.get("X2STATIC_REPOSITORIES")
    match = PINNED.fullmatch(file.url)
    owner, name, commit, path = match.groups()
    repository = Path(named or "", f"{owner}+{name}", "repo")
    if not named or not repository.is_dir():
        pytest.skip("needs the sources' repositories; set X2STATIC_REPOSITORIES to a folder of OWNER+NAME/repo")
    command = ["git", "--git-dir", repository, "cat-file", "blob", f"{commit}:{path}"]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize("file", FILES)
def test_every_source_is_a_file_at_a_commit_with_a_sha256_and_a_place_of_its_own(file):
    assert PINNED.fullmatch(file.url)
    assert re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert 0 < file.n_bytes < 2_000_000
    assert re.fullmatch(r"[a-z-]+(/[A-Z0-9-]+)?/[A-Za-z0-9-]+\.(tsv|txt|json)", file.path)
    assert file.path in LINES
    assert file.form in FORMS


def test_no_two_files_are_one_and_every_set_says_its_licence():
    files = [file for data_set in SETS.values() for file in data_set.files]
    for values in ([file.url for file in files], [file.sha256 for file in files], [file.path for file in files]):
        assert len(set(values)) == len(files) == len(LINES)
    assert all(data_set.licence and data_set.about for data_set in SETS.values())


def test_sets_of_several_files_have_a_folder_to_themselves():
    homes = {name: {Path(file.path).parent for file in data_set.files} for name, data_set in SETS.items()}
    for name, data_set in SETS.items():
        if len(data_set.files) > 1:
            (home,) = homes[name]
            assert not any(home in homes[other] for other in SETS if other != name)


@pytest.mark.parametrize("file", FILES)
def test_the_real_file_has_the_pinned_hash_and_converts_to_all_its_lines(file):
    raw = published(file)
    system = subprocess.run(["sha256sum"], input=raw, capture_output=True, check=True).stdout.split()[0].decode()
    assert (system, len(raw)) == (file.sha256, file.n_bytes)
    assert not raw.startswith(b"version https://git-lfs")
    assert FORMS[file.form](raw).count(b"\n") == LINES[file.path]


@pytest.mark.parametrize("file", FILES)
def test_the_real_file_converts_to_the_shared_copy(file, shared, tmp_path):
    if not (shared / file.path).is_file():
        pytest.skip(f"the shared data has no {file.path}")
    ours, theirs = FORMS[file.form](published(file)), (shared / file.path).read_bytes()
    if file.path.startswith("wordsim/"):
        (tmp_path / "ours.tsv").write_bytes(ours)
        assert read_word_pairs(tmp_path / "ours.tsv") == read_word_pairs(shared / file.path)
        theirs = b"\n".join(theirs.splitlines()) + b"\n"  # two of them have Windows' line ends
    assert ours == theirs


def test_the_analogies_are_those_that_gensim_ships():
    gensim = pytest.importorskip("gensim.test.utils")
    (file,) = SETS["questions-words"].files
    shipped = Path(gensim.datapath("questions-words.txt")).read_bytes()
    assert FORMS[file.form](published(file)) == FORMS[file.form](shipped) == shipped


def test_all_sets_are_fetched_through_a_proxy_and_read(server, tmp_path):
    files = [file for data_set in SETS.values() for file in data_set.files]
    server.answers |= {
        file.url.removeprefix("https://raw.githubusercontent.com"): sends(published(file)) for file in files
    }
    proxy = Proxy(server.port)
    environment = {"https_proxy": proxy.url, "no_proxy": "", "XDG_CACHE_HOME": str(tmp_path)}
    try:
        done = run_alone(["data", "fetch"], **environment)
    finally:
        proxy.close()
    assert done.returncode == 0, done.stderr
    assert proxy.asked == ["raw.githubusercontent.com:443"] * len(files)
    folder = tmp_path / "x2static" / "data"
    assert {path for path in LINES if (folder / path).is_file()} == set(LINES)
    assert run_alone(["data", "path"], **environment).stdout == f"{folder}\n"
    assert f"{len(SETS)} of {len(SETS)} are in" in run_alone(["data", "list"], **environment).stdout
