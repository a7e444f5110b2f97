"""The card says what run.json and the cache have, and nothing in them is markup."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tests.pipeline.publish.conftest import WORDS, make_vectors
from tests.schemas.caches import amend, make_cache, plan
from x2static.durable.errors import X2StaticError
from x2static.pipeline.publish.card import Facts, model_card
from x2static.pipeline.publish.provenance import Provenance, Source, find_provenance
from x2static.report.table import Column, Table
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import choose_words

HEADS = "How to use, Teacher, Corpus, Licences, Settings, Intended use and limits, Bias check, How to cite".split(", ")
HOSTILE = [
    "a\n---\nlicense: mit\n---\n# Heading",
    "| a | b |\n|---|---|\n",
    "```\n</code><script>alert(1)</script>",
    "[click](javascript:alert(1)) ![x](http://example.org/x.png) $x$ ~~y~~",
    "\u202ereversed\x1b[2J\x00\u2028\x85---\r\n- item",
    "1. - + # x",
    '": {x: [&a *a !!python/object:os.system',
]


def facts_of(vectors: WordVectors, **more: object) -> Facts:
    return Facts(find_provenance(vectors.run), **more)


def sections(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_what_run_json_and_the_cache_record_is_on_the_card(tmp_path):
    plans = [plan(2).model_copy(update={"licence": "CC BY-SA 4.0"})]
    vectors = make_vectors(make_cache(tmp_path / "cache", plans=plans))
    card = model_card(vectors, "owner/my-vectors", facts_of(vectors, licence="cc-by-4.0"))
    of = sections(card)
    assert list(of) == HEADS
    assert f"{len(WORDS)} words, 5 dimensions" in card
    assert of["Teacher"].strip() == "- model: fake"
    assert of["Corpus"].strip() == "- text: corpus.txt\n\n123,456 words of it were read."
    for row in ("| these vectors | cc-by-4.0 |", "| the teacher, fake | not stated |"):
        assert row in of["Licences"]
    assert "| the corpus, corpus.txt | CC BY-SA 4.0 |" in of["Licences"]
    for row in ("| objective | views |", r"| min\_count | 7 |", "| lr | 0.0003 |", "x2static 0.2.0, numpy 2.4.6"):
        assert row in of["Settings"]
    assert not re.search(r"^\| (out|cache|vocab) ", of["Settings"], re.MULTILINE), "where it was, or not set"
    assert "x2static evaluate FOLDER --task bias" in of["Bias check"]
    assert "gupta-jaggi-2021-obtaining" in of["How to cite"]


def test_scores_and_the_bias_check_stand_on_the_card_where_they_were_made():
    table = Table([Column("task", "left"), Column("mine")], [("wordsim353", 0.5)])
    vectors = make_vectors()
    of = sections(model_card(vectors, "owner/x", facts_of(vectors, scores=[table], bias=table)))
    assert of["Scores"].strip() == of["Bias check"].strip() == "| task | mine |\n| :-- | --: |\n| wordsim353 | 0.500 |"


def test_the_hub_reads_the_front_matter():
    provenance = Provenance(
        Source("roberta-base", "roberta-base", "0" * 40, "mit"),
        (Source("wikimedia/wikipedia, 20231101.en, train", "wikimedia/wikipedia", "1" * 40), Source("mine.txt")),
        "en",
    )
    data = ModelCard(model_card(make_vectors(), "owner/x", Facts(provenance, "apache-2.0"))).data.to_dict()
    tags = ["static-embeddings", "word-vectors", "word-embeddings", "x2static"]
    known = {"language": "en", "license": "apache-2.0", "library_name": "x2static", "tags": tags}
    assert data == known | {"base_model": ["roberta-base"], "datasets": ["wikimedia/wikipedia"]}
    several = Facts(Provenance(language="de+en"))
    assert ModelCard(model_card(make_vectors(), "owner/x", several)).data.to_dict()["language"] == ["de", "en"]
    nothing = ModelCard(model_card(make_vectors(), "owner/x", Facts(Provenance()))).data.to_dict()
    assert nothing == {"license": "unknown", "library_name": "x2static", "tags": tags}


def test_an_example_of_marked_words_is_one_of_them():
    rules = choose_words(None, "de+en", marked=True)
    vectors = WordVectors(["de:gift", "en:."], np.eye(2, dtype=np.float32), np.array([2, 1]), rules)
    use = sections(model_card(vectors, "owner/x", facts_of(vectors)))["How to use"]
    assert 'vectors["de:gift"]' in use
    assert 'of another."], language="de")' in use


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_run_json_is_markup(text):
    vectors = make_vectors(
        cache={"teacher": text, "revision": text},
        configuration={"objective": text, text: 1, "list": [text, {text: text}], "corpus": [text]},
        versions={text: text},
        outside_text={"name": text, "licence": text},
        subwords={"ngrams": text},
    )
    for run in (vectors.run, vectors.run | {"baseline": text, "teacher": text}):
        one = replace(vectors, run=run)
        harmless = make_vectors(**{key: run[key] for key in ("baseline", "subwords") if key in run})
        plain = model_card(harmless, "owner/x", facts_of(harmless))
        card = model_card(one, "owner/x", facts_of(one))
        hostile_source = Source(text, text, text, text)
        other = model_card(one, "owner/x", Facts(Provenance(hostile_source, (hostile_source,), text), text))
        for made in (card, other):
            assert ModelCard(made).data.to_dict() == ModelCard(plain).data.to_dict()
            body = made.partition("\n---\n")[2]
            assert list(sections(body)) == list(sections(plain))
            for mark in ("```", "\n# ", "\n---"):
                assert body.count(mark) == plain.partition("\n---\n")[2].count(mark), mark
            assert not re.search(r"<\w|(?<!\\)\]\(|[\x00\x1b\u202e\u2028\x85\r]", body)
            begins = re.findall(r"^- (\S+ \S)", body, re.MULTILINE)
            assert not [begin for begin in begins if not re.match(r"(model|text): |A w|They c", begin)], begins
            for row in re.findall(r"^\|.*$", body, re.MULTILINE):
                assert len(re.findall(r"(?<!\\)\|", row)) == 3, row


@pytest.mark.parametrize("run", [{}, {"cache": 7, "configuration": [], "versions": "x", "outside_text": "y"}])
def test_a_run_json_without_records_has_a_card(run):
    vectors = make_vectors()
    vectors = replace(vectors, run=run, segmentation=None)
    card = model_card(vectors, "owner/x", facts_of(vectors))
    assert "Not recorded" in sections(card)["Teacher"]
    assert "vectors.encode" not in card


def test_folders_of_this_machine_are_not_on_the_card():
    home = "/home/secret/work"
    settings = {"cache": f"{home}/cache", "vocab": f"{home}/words.txt", "corpus": [f"{home}/a.txt", "hf://./secret/b"]}
    settings["continue_run"] = "C:\\secret\\runs\\first"
    vectors = make_vectors(configuration=settings, cache={"teacher": f"{home}/bert", "revision": None})
    card = model_card(vectors, "owner/x", facts_of(vectors))
    assert "secret" not in card
    assert all(name in card for name in ("words.txt", "a.txt", "first", "bert"))


def test_the_demo_and_what_came_from_the_hub_are_named_as_the_hub_has_them(tmp_path):
    demo = find_provenance({"cache": {"teacher": "demo", "revision": None}}).teacher
    assert demo is not None
    assert demo.hub == "sentence-transformers/all-MiniLM-L6-v2"
    identity = {"kind": "dataset", "name": "wikimedia/wikipedia", "config": "20231101.en", "split": "train"}
    texts = {"corpus": "hf://wikimedia/wikipedia/20231101.en", "identity": identity | {"revision": "1" * 40}}
    vectors = make_vectors(make_cache(tmp_path / "cache", plans=[plan(2).model_copy(update=texts)]))
    (corpus,) = find_provenance(vectors.run).corpora
    name = "wikimedia/wikipedia, 20231101.en, train"
    assert corpus == Source(name, "wikimedia/wikipedia", "1" * 40, None)
    # A folder that has the form of an id came from no hub: no commit is recorded.
    assert find_provenance({"cache": {"teacher": "models/bert", "revision": None}}).teacher == Source("bert")


def test_a_baseline_has_the_teacher_that_it_used(cache):
    run = make_vectors(cache, baseline="skipgram").run
    assert find_provenance(run).teacher is None
    assert find_provenance(run | {"teacher": "fake"}).teacher == Source("fake")
    of = sections(model_card(make_vectors(cache, baseline="skipgram"), "owner/x", Facts(find_provenance(run))))
    assert "cite the baseline's own paper, too" in of["How to cite"]


def test_a_cache_that_is_another_by_now_says_nothing(cache, tmp_path, caplog):
    vectors = make_vectors(cache)
    now = find_provenance(vectors.run)
    assert [one.name for one in now.corpora] == ["corpus.txt"]
    earlier = vectors.run["cache"]
    del earlier["corpora"], earlier["language"]  # as before they were recorded
    assert find_provenance(vectors.run) == now
    amend(cache / "shards" / "000000" / "shard.json", n_tokens=1)
    assert not find_provenance(vectors.run).corpora
    assert "has other shards now" in caplog.text
    with pytest.raises(X2StaticError, match=r"--cache .* has other shards now.*name another"):
        find_provenance(vectors.run, cache)
    with pytest.raises(X2StaticError, match="no cache here"):
        find_provenance(vectors.run, tmp_path)


def test_the_snippet_for_gensim_runs():
    vectors = make_vectors()
    card = model_card(vectors, "owner/x", facts_of(vectors))
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "gensim" in code]
    names: dict[str, object] = {"vectors": vectors}
    exec(code, names)
    assert names["keyed"].index_to_key == WORDS
    assert "sentence_transformers" not in card, "there is nothing for it in the folder"
    assert "SentenceTransformer(" in model_card(vectors, "owner/x", facts_of(vectors, files=["modules.json"]))


def test_no_data_of_the_folder_is_needed_for_a_card_of_an_earlier_version():
    folder = Path(__file__).parents[2] / "data" / "0.1.0" / "run"
    vectors = WordVectors.load(folder)
    card = model_card(vectors, "owner/x", facts_of(vectors))
    assert "x2static 0.1.0" in card
    assert "| negative-sampling |" in card.replace("\\", "")
