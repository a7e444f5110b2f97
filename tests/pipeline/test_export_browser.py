"""What is exported for a browser gives the same numbers there: in a real one, where there is one."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from tests.pipeline.test_export_libraries import JOINED, SAID, TEXTS, WORDS, as_read, vectors_of
from x2static.pipeline.export.formats import export
from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.multiword import Multiword
from x2static.stage1_encode.text.segmentation import default_words

CHROMIUM = os.environ.get("X2STATIC_CHROMIUM")
ARGUMENTS = "--no-sandbox --single-process --no-zygote --disable-gpu --disable-dev-shm-usage --in-process-gpu".split()
MORE = [
    "ΌΣΟΣ ΣΑΣ Σ σ",
    "a\u0301 A\u0301 \u0301x",
    "İstanbul IJ ǅ ß ẞ",
    "क्षि क्‍ष",
    "日本語 かな 한국어 ไทย",
    "\ufeffx\u00ada\u2028b\u3000c",
    "👩‍👩‍👧 ❤️",
]
MORE_WORDS = [
    "x",
    "b",
    "c",
    "日",
    "かな",
    "한국어",
    "όσος",
    "σας",
    "σ",
    "ς",
    "á",
    "ß",
    "क्षि",
    "👩",
    "\u200d",
    "i̇stanbul",
    "ǆ",
]
SCRIPT = """
import { readFile } from "node:fs/promises";
globalThis.fetch = async (name) => {
  const bytes = await readFile(name);
  return { ok: true, json: async () => JSON.parse(bytes), arrayBuffer: async () => Uint8Array.from(bytes).buffer };
};
const script = await readFile("encode.js", "utf8");
const { load } = await import("data:text/javascript;base64," + Buffer.from(script).toString("base64"));
const model = await load("./");
const texts = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(texts.map(model.rows)));
"""


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.skipif(not CHROMIUM, reason="no browser: X2STATIC_CHROMIUM does not name a Chromium")
@pytest.mark.parametrize("smaller", [Smaller(), Smaller(dtype="int8", codebook=7)], ids=str)
def test_a_browser_cuts_and_averages_as_we_do(tmp_path, served, smaller):
    playwright = pytest.importorskip("playwright.sync_api")
    vectors = vectors_of(list(dict.fromkeys([*WORDS, *MORE_WORDS])))
    export(vectors, "browser", tmp_path / "m", smaller=smaller)
    texts = [*TEXTS, *MORE]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=20_000)
        page = browser.new_page()
        page.goto(f"{served}/m/index.html")
        page.wait_for_function("window.model !== undefined")
        rows, theirs = page.evaluate(
            "texts => [texts.map(model.rows), texts.map(text => Array.from(model.encode(text)))]", texts
        )
        page.fill("#first", "the cat")
        page.fill("#second", "the cat")
        assert page.text_content("#cosine") == "1.000000"
        page.fill("#second", "zzz")
        assert page.text_content("#cosine") == "0.000000"
        browser.close()
    index = vectors.index
    assert rows == [[index[word] for word in vectors.split(text) if word in index] for text in texts]
    matrix = as_read(vectors, smaller).matrix.astype(np.float64)
    expected = [matrix[known].mean(axis=0) if known else np.zeros(vectors.dim) for known in rows]
    np.testing.assert_allclose(theirs, expected, atol=1e-6)


@pytest.mark.skipif(not which("node"), reason="no Node.js")
@pytest.mark.parametrize("entries", [(), JOINED], ids=["single", "joined"])
def test_the_page_s_script_gives_our_rows(tmp_path, entries):
    words = dict.fromkeys([*WORDS, *MORE_WORDS, *map("_".join, entries)])
    vectors = vectors_of(list(words), rules=default_words().joining(Multiword(entries)))
    export(vectors, "browser", tmp_path / "m")
    (tmp_path / "m" / "run.mjs").write_text(SCRIPT)
    texts = [*SAID, *MORE]
    ran = subprocess.run(
        ["node", "run.mjs"],
        cwd=tmp_path / "m",
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    index = vectors.index
    assert json.loads(ran.stdout) == [[index[word] for word in vectors.split(text) if word in index] for text in texts]


def test_the_folder_has_all_that_the_page_names(tmp_path):
    export(vectors_of(WORDS), "browser", tmp_path / "m")
    names = {path.name for path in (tmp_path / "m").iterdir()}
    made = {"config.json", "encode.js", "index.html", "model.safetensors", "modules.json", "tokenizer.json"}
    assert names == made | {"README.md"}
    page = (tmp_path / "m" / "index.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert len(json.loads((tmp_path / "m" / "tokenizer.json").read_text())["model"]["vocab"]) == len(WORDS)
