"""The map, and what else names files and functions of the house, names those that are there."""

import re

import pytest

from tests.conftest import ROOT

ROOMS = {link.name for link in (ROOT / "x2static").iterdir() if link.is_dir()}
FOLDERS = ROOMS | {".ci", "benchmarks", "docs", "examples", "tests"}
PATH = re.compile(r"(?<![\w/.])[\w.-]+(?:/[\w.-]+)+/?|(?<![\w/.])[\w.-]+/(?=[\s`])|(?<![\w/.])\w+\.py\b")
NAME_IN_FILE = re.compile(r"`(\w+)` (?:of|in) `([\w/]+\.py)`")
KILL_POINT = re.compile(r'"x2static\.([\w.]+):([\w.]+)"')


@pytest.mark.parametrize("document", ["docs/ARCHITECTURE.md", "README.md", "CONTRIBUTING.md"])
def test_every_file_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    paths = set(PATH.findall(text))
    if document != "docs/ARCHITECTURE.md":  # the others name files of users too
        paths = {path for path in paths if path.split("/")[0] in FOLDERS}
    # The map writes names within a room without the room.
    homes = {path: [ROOT / path, (ROOT / document).parent / path, *ROOT.glob(f"*/{path}")] for path in paths}
    lost = [path for path, places in homes.items() if not any(place.exists() for place in places)]
    assert (len(paths) > 5, lost) == (True, [])
    for name, file in NAME_IN_FILE.findall(text):
        assert name in (ROOT / file).read_text("utf-8"), f"{document}: {name} of {file}"


@pytest.mark.parametrize("room", ["schemas", "stage1_encode", "stage2_train"])
def test_the_map_names_every_file_of_the_stages(room: str) -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text("utf-8")
    files = [str(file.relative_to(ROOT / room)) for file in (ROOT / room).rglob("*.py") if file.name != "__init__.py"]
    assert [file for file in files if f"`{file}`" not in text and f"`{room}/{file}`" not in text] == []


def test_every_kill_point_of_the_tests_exists() -> None:
    points = {point for file in (ROOT / "tests").rglob("*.py") for point in KILL_POINT.findall(file.read_text("utf-8"))}
    assert len(points) > 5
    for module, function in points:
        text = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
        assert all(re.search(rf"\b{name}\b", text) for name in function.split(".")), f"{module}:{function}"
