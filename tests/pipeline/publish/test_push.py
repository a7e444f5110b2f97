"""What is sent to the hub is read back byte for byte; what goes wrong is one line that says what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipeline.publish.conftest import make_vectors
from tests.pipeline.publish.hub import TOKEN, PublishingHub
from tests.pipeline.ran import run_here
from x2static.durable.errors import X2StaticError
from x2static.pipeline.publish.provenance import Provenance, Source
from x2static.pipeline.publish.upload import Hub, files_of, send, with_licences
from x2static.schemas.pretrained import find_pretrained
from x2static.schemas.vectors import WordVectors

NAME = "owner/some.vectors"
FOR_OTHERS = ["config.json", "model.safetensors", "modules.json", "tokenizer.json"]  # sentence-transformers
FILES = ["vectors.safetensors", "vocabulary.arrow", "word_segmentation.json", "run.json"]
CARD = "---\nlicense: mit\n---\n\n# Mine\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_vectors().save(tmp_path / "vectors")
    (tmp_path / "vectors" / "notes.txt").write_text("no file of the vectors")
    return tmp_path / "vectors"


@pytest.fixture
def owner(hub: PublishingHub) -> Hub:
    return Hub(hub.url, TOKEN)


def test_what_is_sent_is_read_back(folder, hub, owner, tmp_path):
    commit = send(folder, CARD, NAME, owner, "First")
    assert hub.files(NAME) == {name: (folder / name).read_bytes() for name in FILES} | {"README.md": CARD.encode()}
    assert (len(hub.repositories["models", NAME].commits), hub.messages) == (1, ["First"])
    there = find_pretrained(NAME, cache_dir=tmp_path / "downloads", endpoint=hub.url)
    assert (there.name, sorted(path.name for path in there.iterdir())) == (commit, sorted(FILES))
    for name in FILES:
        assert (there / name).read_bytes() == (folder / name).read_bytes()
    ours, theirs = WordVectors.load(folder), WordVectors.load(there)
    assert (theirs.words, theirs.run) == (ours.words, ours.run)
    assert theirs.matrix.tobytes() == ours.matrix.tobytes()
    assert theirs.split("The violin") == ["the", "violin"]
    hub.close()
    assert find_pretrained(NAME, cache_dir=tmp_path / "downloads", endpoint=hub.url) == there, "without a network"


def test_vectors_of_an_earlier_version_are_sent_and_read_back(hub, owner, tmp_path):
    folder = ROOT / "tests" / "data" / "0.1.0" / "run"
    send(folder, CARD, NAME, owner, "First")
    there = WordVectors.load(find_pretrained(NAME, cache_dir=tmp_path / "downloads", endpoint=hub.url))
    assert there.matrix.tobytes() == WordVectors.load(folder).matrix.tobytes()
    assert there.segmentation is not None


def test_a_second_push_is_a_second_commit_and_a_revision_finds_the_first(folder, hub, owner, tmp_path):
    first = send(folder, CARD, NAME, owner, "First")
    make_vectors(words=7).save(folder)
    second = send(folder, CARD, NAME, owner, "Second")
    assert hub.messages == ["First", "Second"]
    for revision, commit, words in ((first, first, 123456), (None, second, 7)):
        there = find_pretrained(NAME, revision, tmp_path / "downloads", hub.url)
        assert (there.name, WordVectors.load(there).run["words"]) == (commit, words)


def test_the_command_sends_a_card_and_the_files(folder, hub, tmp_path):
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}
    code = "import sys; from x2static.pipeline.cli import run; sys.exit(run(sys.argv[1:]))"
    arguments = ["push", folder, NAME, "--licence", "CC-BY-4.0", "--message", "Mine", "--json"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    (commit,) = hub.repositories["models", NAME].commits
    assert (result["commit"], result["files"], hub.messages) == (commit, ["README.md", *FOR_OTHERS, *FILES], ["Mine"])
    card = hub.files(NAME)["README.md"].decode()
    assert 'license: "cc-by-4.0"' in card
    assert f'WordVectors.from_pretrained("{NAME}")' in card
    assert f'SentenceTransformer("{NAME}")' in card
    code = (
        "from x2static import WordVectors; from sentence_transformers import SentenceTransformer as Model; import numpy"
    )
    code += f"; text, name = 'The violin, the naïve orchestra', {NAME!r}; ours = WordVectors.from_pretrained(name)"
    code += "; numpy.testing.assert_allclose(Model(name, device='cpu').encode(text), ours.encode(text), rtol=1e-6)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_shows_the_card_and_the_files_and_asks_nobody(folder, hub, capsys):
    done = run_here(capsys, ["push", folder, NAME, "--dry-run"])
    assert done.status == 0
    assert "\n# some.vectors\n" in done.out
    assert f"{NAME}: nothing sent; it would be README.md, {', '.join(FOR_OTHERS + FILES)}" in done.out
    done = run_here(capsys, ["push", folder, NAME, "--dry-run", "--no-sentence-transformers"])
    assert f"{NAME}: nothing sent; it would be README.md, {', '.join(FILES)}" in done.out
    assert "nobody knows whether they may be used; --licence says it" in done.err
    assert hub.requests == []
    assert not (folder / "README.md").exists()


def test_who_sends_folders_of_the_machine_is_told(tmp_path, capsys):
    settings = {"cache": "/home/me/cache", "lr": 0.1, "corpus": ["a.txt", "C:\\texts\\b.txt"], "vocab": "words.txt"}
    make_vectors(configuration=settings, cache={"teacher": "/home/me/bert", "revision": None}).save(tmp_path / "v")
    done = run_here(capsys, ["push", tmp_path / "v", NAME, "--dry-run", "--licence", "mit"])
    assert "run.json names folders of this machine (teacher, cache, corpus)" in done.err
    assert "/home/me" not in done.out


def test_scores_of_the_data_that_is_given_are_on_the_card(folder, tmp_path, capsys):
    data = tmp_path / "data"
    (data / "wordsim").mkdir(parents=True)
    (data / "wordsim" / "mine.tsv").write_text("violin\ttrumpet\t9\nviolin\tpistol\t2\nlove\tpeace\t8\n")
    lists = {"X": ["violin", "trumpet"], "Y": ["pistol", "cannon"], "A": ["love", "peace"], "B": ["hatred", "filth"]}
    done = run_here(capsys, ["push", folder, NAME, "--dry-run", "--data", data])
    assert (done.status, "## Scores" in done.out, "| mine | " in done.out) == (0, True, True)
    assert "## Bias check\n\nNot checked." in done.out
    (data / "bias").mkdir()
    (data / "bias" / "mine.json").write_text(json.dumps({"music and weapons": lists}))
    done = run_here(capsys, ["push", folder, NAME, "--dry-run", "--data", data])
    assert "| music and weapons | " in done.out
    done = run_here(capsys, ["push", folder, NAME, "--dry-run", "--data", folder])
    assert (done.status, "none of the folders of evaluation data is here (wordsim, " in done.err) == (1, True)


def test_a_card_of_ones_own_is_sent_as_it_is(folder, capsys):
    (folder / "README.md").write_text(CARD)
    done = run_here(capsys, ["push", folder, NAME, "--dry-run"])
    assert done.out.startswith(CARD)
    done = run_here(capsys, ["push", folder, NAME, "--dry-run", "--licence", "mit"])
    assert (done.status, "has a README.md, which is sent as it is; leave --licence out" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("vectors", "names on the hub are OWNER/NAME"),
        ("a/b --licence 'CC_BY 4'", "not an id such as"),
        ("a/b/c", "/NAME"),
    ],
)
def test_wrong_usage(arguments, said, folder, capsys):
    done = run_here(capsys, ["push", folder, *arguments.replace("'", "").split(maxsplit=2), "--dry-run"])
    assert (done.status, said in done.err) == (2, True)


def test_without_a_token_one_line_says_how_to_log_in(folder, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    done = run_here(capsys, ["push", folder, NAME])
    assert (done.status, done.err.count("\n"), hub.requests) == (1, 1, [])
    assert done.err.startswith("error: no token of the Hugging Face hub is here; log in by `hf auth login`, or a token")


@pytest.mark.parametrize(
    ("step", "fault", "said"),
    [
        ("create", 401, "does not accept the token; log in again by `hf auth login`"),
        ("create", 500, "answers 500 (something is wrong); run the same command again later"),
        ("create", "cut", "cannot be reached, or broke off"),
        ("batch", 403, "this token may not write to owner"),
        ("commit", 500, "answers 500"),
        ("commit", "cut", "it has all of it or nothing, run the same command again"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line_and_leaves_no_half(folder, hub, owner, step, fault, said):
    hub.faults[step] = fault
    with pytest.raises(X2StaticError) as raised:
        send(folder, CARD, NAME, owner, "First")
    assert str(raised.value).startswith(f"{NAME}: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not any(repository.commits for repository in hub.repositories.values())
    hub.faults.clear()
    send(folder, CARD, NAME, owner, "Again")
    assert set(hub.files(NAME)) == {*FILES, "README.md"}


def test_a_wrong_token_anothers_name_and_a_licence_that_the_hub_has_not(folder, hub, owner):
    for name, who, card, said in (
        (NAME, Hub(hub.url, "hf_wrong"), CARD, "does not accept the token"),
        ("another/vectors", owner, CARD, r"may not write to another \(You have no right to write here\)"),
        (NAME, owner, CARD.replace("mit", '"my-own"'), r'answers 400: "license" must be one of'),
    ):
        with pytest.raises(X2StaticError, match=said):
            send(folder, card, name, who, "First")
    hub.close()
    with pytest.raises(X2StaticError, match="cannot be reached, or broke off"):
        send(folder, CARD, NAME, owner, "First")


def test_what_is_to_be_private_is_sent_to_no_open_repository(folder, hub, owner, tmp_path, monkeypatch):
    send(folder, CARD, "owner/closed", owner, "First", private=True)
    assert hub.private == {"owner/closed": True}
    with pytest.raises(X2StaticError, match="neither a folder here nor on the Hugging Face hub; a private one needs"):
        find_pretrained("owner/closed", cache_dir=tmp_path / "downloads", endpoint=hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    WordVectors.load(find_pretrained("owner/closed", cache_dir=tmp_path / "downloads", endpoint=hub.url))
    send(folder, CARD, NAME, owner, "First")
    with pytest.raises(X2StaticError, match="this repository is there already, and open to all"):
        send(folder, CARD, NAME, owner, "Second", private=True)
    assert hub.messages == ["First", "First"]


def test_damaged_vectors_are_not_sent(folder, hub, owner):
    (folder / "vocabulary.arrow").write_bytes(b"x")
    with pytest.raises(X2StaticError, match="has changed since it was written"):
        send(folder, CARD, NAME, owner, "First")
    (folder / "vocabulary.arrow").unlink()
    with pytest.raises(X2StaticError, match="missing"):
        files_of(folder)
    assert hub.requests == []


def test_licences_are_those_that_the_hub_states_and_no_others(hub, owner):
    for name in ("some/teacher", "some/unstated"):
        hub.add_model(name, Path("/nowhere"))
    hub.cards = {"some/teacher": {"license": "apache-2.0"}, "some/unstated": {"tags": ["x"]}}

    def licence(source: Source, hub: Hub = owner) -> str | None:
        teacher = with_licences(Provenance(source), hub).teacher
        return teacher and teacher.licence

    assert licence(Source("t", "some/teacher")) == "apache-2.0"
    assert licence(Source("t", "some/teacher", licence="mine")) == "mine"
    assert [licence(Source("t", name)) for name in ("some/unstated", "some/unknown", None)] == [None] * 3
    hub.close()
    assert licence(Source("t", "some/teacher")) is None
