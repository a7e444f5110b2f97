"""Words outside a vocabulary get the sum of their n-grams' vectors, where they are asked for, and nothing otherwise."""

import numpy as np
import pytest

from x2static.durable.errors import X2StaticError
from x2static.schemas import vectors as module
from x2static.schemas.subwords import SUBWORDS, Subwords, ngrams_of
from x2static.schemas.vectors import RUN, WordVectors, add_subwords, check_run

DIM = 5


def some_subwords(seed: int = 0, words: tuple[str, ...] = ("receive", "government"), power: float = 0.5) -> Subwords:
    ngrams = sorted({ngram for word in words for ngram in ngrams_of(word)})
    matrix = np.random.default_rng(seed).normal(size=(len(ngrams), DIM)).astype(np.float16)
    return Subwords(ngrams, matrix, power)


def some_vectors(subwords: Subwords | None = None) -> WordVectors:
    matrix = np.random.default_rng(1).normal(size=(3, DIM)).astype(np.float32)
    return WordVectors(["receive", "get", "Bonn"], matrix, np.array([5, 4, 3]), subwords=subwords)


def by_hand(subwords: Subwords, word: str) -> np.ndarray:
    marked = f"<{word.lower()}>"
    pieces = [marked[a:b] for a in range(len(marked)) for b in range(a + 3, min(a + 6, len(marked)) + 1)]
    rows = [subwords.matrix[subwords.ngrams.index(p)].astype(float) for p in pieces if p in subwords.ngrams]
    return np.sum(rows, axis=0) / len(rows) ** subwords.power


def test_ngrams_are_of_the_marked_word_in_lower_case_and_never_all_of_it():
    assert ngrams_of("Cats") == ["<ca", "cat", "ats", "ts>", "<cat", "cats", "ats>", "<cats", "cats>"]
    assert ngrams_of("aaaa").count("aaa") == 2
    assert ngrams_of("to") == ["<to", "to>"]
    assert (ngrams_of("a"), ngrams_of("")) == ([], [])
    assert ngrams_of("새해") == ["<새해", "새해>"]


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_a_word_has_the_sum_of_the_ngrams_that_are_known_over_a_power_of_their_number(power):
    subwords = some_subwords(power=power)
    for word in ("recieve", "Goverment", "receivers", "receive"):
        np.testing.assert_allclose(subwords.vector(word), by_hand(subwords, word), rtol=1e-5)
    assert subwords.vector("zzz") is None
    assert list(subwords.vectors(["zzz", "recieve"])) == ["recieve"]


def test_vectors_with_subwords_know_words_outside_the_vocabulary_and_those_without_do_not():
    subwords, plain = some_subwords(), some_vectors()
    vectors = some_vectors(subwords)
    assert "recieve" in vectors
    assert "recieve" not in plain
    assert "zzz" not in vectors
    with pytest.raises(KeyError):
        plain["recieve"]
    with pytest.raises(KeyError):
        vectors["zzz"]
    np.testing.assert_array_equal(vectors["recieve"], subwords.vector("recieve"))
    np.testing.assert_array_equal(vectors["receive"], plain["receive"])  # a known word has its own vector
    one, other = vectors["recieve"], vectors["get"]
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert vectors.similarity("recieve", "get") == pytest.approx(cosine, rel=1e-5)
    assert {word for word, _ in vectors.most_similar("recieve")} == set(vectors.words)
    assert len(vectors.most_similar("recieve")) == 3
    assert len(vectors.most_similar("receive")) == 2
    expected = (vectors["get"] + vectors["recieve"]) / 2
    np.testing.assert_allclose(vectors.mean(["get", "zzz", "recieve"]), expected, rtol=1e-5)
    np.testing.assert_array_equal(vectors.mean(["zzz"]), np.zeros(DIM, np.float32))


def test_knowing_adds_a_row_for_each_unknown_word_that_has_a_vector_and_changes_no_other():
    vectors = some_vectors(some_subwords())
    known = vectors.knowing(["Recieve", "recieve", "get", "GET", "zzz", "Bonn", "goverment"])
    assert known.words == [*vectors.words, "recieve", "goverment"]
    assert known.counts.tolist() == [5, 4, 3, 0, 0]
    np.testing.assert_array_equal(known.matrix[:3], vectors.matrix)
    np.testing.assert_array_equal(known["goverment"], vectors["goverment"])
    plain = some_vectors()
    assert plain.knowing(["recieve"]) is plain


def test_what_is_saved_is_loaded_where_it_is_asked_for(tmp_path):
    saved = some_subwords(power=1)
    some_vectors(saved).save(tmp_path)
    assert WordVectors.load(tmp_path).subwords is None
    loaded = WordVectors.load(tmp_path, "subwords").subwords
    assert loaded is not None
    assert (loaded.ngrams, loaded.power, loaded.matrix.dtype) == (saved.ngrams, 1.0, np.float16)
    assert loaded.matrix.tobytes() == saved.matrix.tobytes()
    assert check_run(tmp_path)["subwords"] == {"ngrams": len(saved.ngrams)}
    some_vectors().save(tmp_path)  # of vectors that are saved anew, the old ones are not
    with pytest.raises(X2StaticError, match=f"no subwords here; make them with `x2static subwords {tmp_path}`"):
        WordVectors.load(tmp_path, "subwords")


@pytest.mark.parametrize("broken", [None, b"", 0.5, b"x" * 999])
def test_damaged_subwords_are_named_and_the_vectors_go_on_without_them(tmp_path, broken):
    some_vectors(some_subwords()).save(tmp_path)
    data = (tmp_path / SUBWORDS).read_bytes()
    (tmp_path / SUBWORDS).unlink()
    if broken is not None:
        part = data[: int(len(data) * broken)] if isinstance(broken, float) else broken
        (tmp_path / SUBWORDS).write_bytes(part)
        with pytest.raises(X2StaticError, match=f"{SUBWORDS}: the subwords are damaged"):
            Subwords.load(tmp_path / SUBWORDS)
    with pytest.raises(X2StaticError, match=SUBWORDS):
        WordVectors.load(tmp_path, "subwords")
    assert len(WordVectors.load(tmp_path)) == 3


@pytest.mark.parametrize("what", ["more", "nan", "missing"])
def test_other_arrow_files_are_no_subwords(tmp_path, what):
    import pyarrow as pa

    subwords = some_subwords()
    matrix = subwords.matrix.copy()
    matrix[0, 0] = np.nan
    Subwords(subwords.ngrams, matrix if what == "nan" else subwords.matrix, 0.5).save(tmp_path / SUBWORDS)
    table = pa.ipc.open_file(tmp_path / SUBWORDS).read_all()
    if what == "missing":
        table = table.drop_columns(["vector"])
    if what == "more":
        table = table.replace_schema_metadata({})
    with pa.ipc.new_file(str(tmp_path / SUBWORDS), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(X2StaticError, match="the subwords are damaged"):
        Subwords.load(tmp_path / SUBWORDS)


def test_a_crash_while_they_are_added_or_replaced_leaves_the_vectors_with_or_without_some(tmp_path, monkeypatch):
    class CrashError(Exception):
        pass

    def crashing(original, at: int, calls: list[int]):
        def call(*args):
            calls[0] += 1
            if calls[0] == at:
                raise CrashError
            return original(*args)

        return call

    seen = set()
    for before in (None, some_subwords(1)):
        for at in range(1, 5):
            folder, calls = tmp_path / f"{before is None}{at}", [0]
            some_vectors(before).save(folder)
            run = (folder / RUN).read_bytes()
            with monkeypatch.context() as patch:
                patch.setattr(module, "write_atomically", crashing(module.write_atomically, at, calls))
                patch.setattr(Subwords, "save", crashing(Subwords.save, at, calls))
                try:
                    add_subwords(folder, some_subwords(2))
                    done = True
                except CrashError:
                    done = False
            check_run(folder)  # nothing is damaged
            assert WordVectors.load(folder).matrix.tobytes() == some_vectors().matrix.tobytes()
            try:
                loaded = WordVectors.load(folder, "subwords").subwords
            except X2StaticError as error:
                assert "no subwords here" in str(error)
                assert not done
            else:
                expected = some_subwords(2) if done else before
                assert loaded.matrix.tobytes() == expected.matrix.tobytes()
            seen.add((before is None, done, (folder / RUN).read_bytes() == run))
    assert {(True, False, True), (True, True, False), (False, False, True), (False, False, False)} <= seen
