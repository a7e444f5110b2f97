"""Classification data is found and split, and what is wrong with it is said in one line."""

from collections import Counter

import pytest

from tests.evaluation.made import write
from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification.data import read_tasks

BOTH = "0\ta\n1\tb\n" * 10
ROWS = [(number % 3, f"text {number}") for number in range(300)]


def read(folder, seed=0):
    return read_tasks(folder.parent, seed, [folder.name])[0]


def test_one_file_is_split_60_20_20_with_equal_shares_of_every_class(tmp_path):
    task = read(write(tmp_path / "A/all.tsv", ROWS).parent)
    counts = [Counter(part.labels) for part in task.parts]
    assert counts == [Counter(dict.fromkeys(range(3), n)) for n in (60, 20, 20)]
    rows = [(label, text) for part in task.parts for label, text in zip(part.labels, part.texts, strict=True)]
    assert sorted(rows) == sorted(ROWS), "a text keeps its label"
    assert read(tmp_path / "A") == task != read(tmp_path / "A", seed=1)


def test_given_parts_are_kept_and_a_missing_validation_part_is_a_fifth_of_the_training_part(tmp_path):
    for name, rows in {"train": ROWS[:30], "dev": ROWS[30:40], "test": ROWS[40:50]}.items():
        write(tmp_path / f"A/{name}.tsv", rows)
    whole = [[text for _, text in ROWS[first:last]] for first, last in [(0, 30), (30, 40), (40, 50)]]
    assert [part.texts for part in read(tmp_path / "A").parts] == whole
    (tmp_path / "A/dev.tsv").unlink()
    assert [len(part) for part in read(tmp_path / "A").parts] == [24, 6, 10]


def test_a_text_may_be_empty_and_labels_need_not_begin_at_0(tmp_path):
    rows = [(label, text) for label in (-1, 7) for text in ("", "a b", "c", "d", "e")]
    task = read(write(tmp_path / "A/all.tsv", rows).parent)
    assert task.classes == [-1, 7]
    assert sorted(text for part in task.parts for text in part.texts) == sorted(text for _, text in rows)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"all": "\n \n"}, "all.tsv: no texts in it"),
        ({"all": "0\ta\n1 b\n"}, "all.tsv, line 2: expected label<TAB>text, got 1 columns: '1 b'"),
        ({"all": "good\ta\n"}, "all.tsv, line 1: the label 'good' is no integer"),
        ({"all": "3\ta\n" * 20}, "A: all 12 training texts have the label 3"),
        ({"all": "3\ta\n4\tb\n" * 4}, "A: no text for the test part; 8 texts are too few"),
        ({"train": BOTH}, "test.tsv missing"),
        ({"train": BOTH, "test": BOTH, "all": BOTH}, "both all.tsv and train.tsv, test.tsv; remove"),
        ({"train": BOTH, "test": "5\ta\n4\tb\n"}, "the test part has the label 4, 5, which no training text has"),
        ({"train": BOTH, "dev": "9\ta\n", "test": BOTH}, "the validation part has the label 9, which no training"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, files, message):
    (tmp_path / "A").mkdir()
    for name, text in files.items():
        (tmp_path / f"A/{name}.tsv").write_text(text)
    with pytest.raises(X2StaticError, match=message) as caught:
        read(tmp_path / "A")
    assert "\n" not in str(caught.value)


def test_a_folder_without_the_files_of_a_task_is_warned_of(tmp_path, caplog):
    write(tmp_path / "A/all.tsv", ROWS)
    for name in ("EMPTY", ".hidden"):
        (tmp_path / name).mkdir()
    write(tmp_path / "MISNAMED/training.tsv", ROWS)
    assert [task.name for task in read_tasks(tmp_path, 0)] == ["A"]
    (record,) = caplog.records
    assert f"{tmp_path}: no classification task in EMPTY, MISNAMED, which has none of all.tsv" in record.getMessage()
    caplog.clear()
    read_tasks(tmp_path, 0, ["A"])
    assert not caplog.records, "who asks for a task by name knows the others"


def test_no_data_and_a_file_and_an_unknown_task_are_one_clear_line(tmp_path):
    file = write(tmp_path / "A/all.tsv", ROWS)
    with pytest.raises(X2StaticError, match="`x2static data fetch` gets some; or give --data"):
        read_tasks(None, 0)
    with pytest.raises(X2StaticError, match=r"all\.tsv: no such folder; --data takes"):
        read_tasks(file, 0)
    with pytest.raises(X2StaticError, match="no classification task B, C; there are A"):
        read_tasks(tmp_path, 0, ["A", "B", "C"])


def test_the_six_tasks_of_the_paper_are_read(shared):
    sizes = {task.name: [len(part) for part in task.parts] for task in read_tasks(shared, 0)}
    assert sizes["SST-5"] == [8544, 1101, 2210]
    assert sizes["TREC"] == [4363, 1089, 500]
    assert {name: sum(of_name) for name, of_name in sizes.items()} == {
        "CR": 3775, "MPQA": 10606, "MR": 10662, "SST-5": 11855, "SUBJ": 10000, "TREC": 5952,
    }  # fmt: skip
