"""Aggregated embeddings: every occurrence counts once, at every layer, whatever interrupts the run."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reference import Reader, sentence_bounds
from tests.stage1_encode.conftest import Readers
from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, write_lines
from tests.teachers import FAMILIES, NOUNS
from x2static.durable.errors import X2StaticError
from x2static.schemas.aggregated import FOLDER, Aggregated
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage1_encode.pools.aggregation import LayerSums
from x2static.stage1_encode.text.default import piece_spans
from x2static.stage1_encode.text.windows import Window

WANTED = [*NOUNS, "the", ".", "unheard", "Anna"]


def slowly(reader: Reader, texts: list[str], wanted: list[str]) -> dict[str, list[np.ndarray]]:
    """Return the vectors of each word's occurrences, (n_layers, dim) each, one paragraph at a time.

    For paragraphs that fit the window, of letters, digits and stops.
    """
    found: dict[str, list[np.ndarray]] = {word: [] for word in wanted}
    for text in texts:
        encoding = reader.plain.encode(text, add_special_tokens=False)
        ids = [*reader.teacher.begin, *encoding.ids, *reader.teacher.end]
        with torch.no_grad():
            states = reader.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        layers = np.stack([state[0].double().numpy() for state in states])
        for start, stop in sentence_bounds(text):
            for match in re.finditer(r"\w+|[^\w\s]", text[start:stop]):
                if (word := match[0].lower()) in found:
                    touched = [
                        len(reader.teacher.begin) + number
                        for number, (begin, end) in enumerate(encoding.offsets)
                        if begin < start + match.end() and end > start + match.start()
                    ]
                    found[word].append(layers[:, touched].mean(axis=1))
    return found


def aggregated_of(cache: Path) -> Aggregated:
    found = Aggregated.open(cache)
    assert found
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("context", ["paragraph", "sentence"])
def test_means_are_those_of_an_unbatched_computation_at_every_layer(
    family: str, context: str, readers: Readers, tmp_path: Path
) -> None:
    reader, texts = readers(family), paragraphs(24)
    config = config_of(reader.teacher.folder, write_lines(tmp_path / "t.txt", texts), tmp_path / "cache", unit=7)
    encode(config.model_copy(update={"context": context}), wanted=WANTED)
    read = texts if context == "paragraph" else [t[a:b].strip() for t in texts for a, b in sentence_bounds(t)]
    expected = slowly(reader, read, sorted(word.lower() for word in WANTED))
    found = aggregated_of(tmp_path / "cache")
    assert found.words == tuple(expected)
    assert found.units() == {0, 1, 2, 3}
    for layer in range(3):
        vectors, counts = found.means(layer)
        assert counts.tolist() == [len(vectors) for vectors in expected.values()]
        assert counts.max() > 50
        for word, vector in zip(found.words, vectors, strict=True):
            mean = np.mean([v[layer] for v in expected[word]], axis=0) if expected[word] else np.zeros(32)
            np.testing.assert_allclose(vector, mean, rtol=1e-4, atol=1e-5, err_msg=f"{word}, layer {layer}")


def test_contexts_are_the_same_with_and_without_it(teacher: Path, tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "t.txt", paragraphs(20))
    for name, wanted in (("with", WANTED), ("without", [])):
        encode(config_of(teacher, corpus, tmp_path / name, unit=6), wanted=wanted)
    kept = {name: data for name, data in files_of(tmp_path / "with").items() if not name.startswith(FOLDER)}
    assert kept == files_of(tmp_path / "without")


KILLS = {
    "before a unit's sums are written": ("x2static.schemas.aggregated:Aggregated.fold", "before", 3),
    "between its sums and its shard": ("x2static.schemas.aggregated:Aggregated.fold", "after", 3),
    "between the new file and the old one's removal": ("x2static.schemas.aggregated:Aggregated.write", "after", 3),
    "in its shard": ("x2static.schemas.shard:_write_table", "after", 5),
    "after its shard": ("x2static.schemas.shard:commit_folder", "after", 3),
}


@pytest.mark.parametrize("kill", KILLS)
def test_killed_and_resumed_twice_no_unit_is_added_twice_and_none_is_missing(
    kill: str, teacher: Path, forks: Forks, tmp_path: Path
) -> None:
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    (tmp_path / "words.txt").write_text("\n".join(WANTED))
    config = config_of(teacher, corpus, tmp_path / "whole", unit=7)
    encode(config, wanted=WANTED)
    options = [*as_options(config.model_copy(update={"cache": tmp_path / "cache"})), "--ase", tmp_path / "words.txt"]
    arguments = tuple(map(str, options))
    assert forks.run(*arguments, kill=KILLS[kill])[0] == -9
    where, moment, _ = KILLS[kill]
    assert forks.run(*arguments, kill=(where, moment, 2))[0] == -9
    status, output = forks.run(*arguments)
    assert status == 0, output
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "whole")


def test_a_finished_cache_gets_its_sums_without_a_shard_being_touched(teacher: Path, tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    run(teacher, corpus, tmp_path / "cache", unit=7, limit=21)
    run(teacher, corpus, tmp_path / "cache", unit=7)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "shards").rglob("*")}
    config = config_of(teacher, corpus, tmp_path / "cache", unit=7)
    encode(config, wanted=WANTED)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "shards").rglob("*")} == before
    encode(config_of(teacher, corpus, tmp_path / "whole", unit=7), wanted=WANTED)
    ours, theirs = (aggregated_of(tmp_path / name) for name in ("cache", "whole"))
    assert ours.units() == theirs.units() == set(range(6))
    np.testing.assert_array_equal(ours.means(2)[0], theirs.means(2)[0])


def test_appended_units_are_added_and_missing_ones_need_their_corpus(teacher: Path, tmp_path: Path) -> None:
    old, new = (write_lines(tmp_path / f"{seed}.txt", paragraphs(12, seed)) for seed in (1, 2))
    for name, wanted in (("with", WANTED), ("without", [])):
        encode(config_of(teacher, old, tmp_path / name, unit=5), wanted=wanted)
    encode(config_of(teacher, new, tmp_path / "with", unit=5, append=True), wanted=WANTED)
    assert aggregated_of(tmp_path / "with").units() == set(range(6))
    with pytest.raises(X2StaticError, match=r"the sums lack 3 units of corpora .* leave out --append and name all"):
        encode(config_of(teacher, new, tmp_path / "without", unit=5, append=True), wanted=WANTED)
    encode(config_of(teacher, (old, new), tmp_path / "without", unit=5), wanted=WANTED)
    ours, theirs = (aggregated_of(tmp_path / name).means(1)[0] for name in ("with", "without"))
    np.testing.assert_array_equal(ours, theirs)


def test_a_plan_counts_the_sums(teacher: Path, tmp_path: Path) -> None:
    config = config_of(teacher, write_lines(tmp_path / "text.txt", paragraphs(60)), tmp_path / "cache", unit=60)
    without, planned = estimate(config), estimate(config, WANTED)
    encode(config, wanted=WANTED)
    sums = sum(path.stat().st_size for path in (config.cache / FOLDER).iterdir())
    # The plan takes every word to occur, two of the list do not; so small a file is a tenth header.
    rows = len(WANTED) / (len(WANTED) - 2)
    assert planned["cache_bytes"] - without["cache_bytes"] == pytest.approx(0.9 * sums * rows, rel=0.1)


def test_parts_add_up_their_own_units(teacher: Path, tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    for part in ("1/2", "2/2"):
        encode(config_of(teacher, corpus, tmp_path / part[0], unit=7, part=part), wanted=WANTED)
    assert aggregated_of(tmp_path / "1").units() == {0, 2, 4}
    assert aggregated_of(tmp_path / "2").units() == {1, 3, 5}


def test_other_words_are_refused_and_none_are_left_alone(
    teacher: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(teacher, write_lines(tmp_path / "t.txt", paragraphs(9)), tmp_path / "cache", unit=5)
    encode(config, wanted=["cat", "dog"])
    with pytest.raises(X2StaticError, match=r"other words \(1 that are not asked for, 2 of those asked for"):
        encode(config, wanted=["dog", "bird", "road"])
    before = files_of(tmp_path / "cache")
    encode(config)
    encode(config, wanted=["Dog", "cat", "dog"])
    assert files_of(tmp_path / "cache") == before


def test_entries_that_are_no_single_words_are_told_or_refused(
    teacher: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(teacher, write_lines(tmp_path / "t.txt", paragraphs(3)), tmp_path / "cache")
    with pytest.raises(X2StaticError, match="none of the 2 entries is a single word"):
        encode(config, wanted=["new york", "don't"])
    with pytest.raises(X2StaticError, match="--ase does not go with --compat paper"):
        encode(config.model_copy(update={"compat": "paper"}), wanted=["cat"])
    assert not (tmp_path / "cache").exists()
    encode(config, wanted=["new york", "cat"])
    assert aggregated_of(tmp_path / "cache").words == ("cat",)
    assert "1 entries are not single words and left out (new york)" in caplog.text


def test_small_additions_are_not_lost_beside_a_large_sum() -> None:
    sums = LayerSums(1, 2, 1, torch.device("cpu"))
    batch = [Window(np.arange(1), np.zeros((0, 3), np.int64), np.array([[1, 0, 1]]))]
    for value in [2.0**24, *[0.5] * 100]:
        sums.add(batch, (torch.full((1, 1, 1), value),))
    found = sums.sums[0, 1, 0].double() + sums.rests[0, 1, 0].double()
    assert float(found) == 2**24 + 50
    assert sums.counts.tolist() == [0, 101]
    assert not sums.sums[0, 0].any()


def test_an_occurrence_touches_the_pieces_that_overlap_it() -> None:
    places = np.array([[0, 3], [3, 3], [3, 7], [8, 9], [9, 12]])
    stretches = np.array([[5, 0, 3], [6, 2, 4], [7, 7, 8], [8, 8, 12], [9, 12, 14]])
    assert piece_spans(places, stretches).tolist() == [[5, 0, 1], [6, 0, 3], [8, 3, 5]]
