"""A result that is kept is made once for each of its origins, and never taken for another."""

import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.teacher_reference import SavedResults


def test_a_result_is_made_once_for_each_origin(tmp_path):
    made = []

    def make(value: int):
        return lambda: (made.append(value), {"value": value, "half": value / 2})[1]

    for _ in range(2):  # another run
        saved = SavedResults(tmp_path / "new" / "folder")
        assert saved.get("score", {"seed": 1}, make(1)) == {"value": 1, "half": 0.5}
        assert saved.get("score", {"seed": 2}, make(2)) == {"value": 2, "half": 1.0}
        assert saved.get("other", {"seed": 1}, make(3)) == {"value": 3, "half": 1.5}
    assert made == [1, 2, 3]
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 3


def test_a_result_of_another_origin_under_the_same_name_is_made_anew(tmp_path):
    saved = SavedResults(tmp_path)
    saved.get("score", {"seed": 1}, lambda: {"value": 1})
    (path,) = tmp_path.iterdir()
    path.write_text('{"origin": {"seed": 3}, "result": {"value": 9}}')
    assert saved.get("score", {"seed": 1}, lambda: {"value": 2}) == {"value": 2}


def test_a_damaged_file_is_named(tmp_path):
    saved = SavedResults(tmp_path)
    saved.get("score", {}, lambda: {"value": 1})
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    with pytest.raises(X2StaticError, match=rf"{path.name}: not valid JSON"):
        saved.get("score", {}, lambda: {"value": 1})


def test_what_fails_is_not_saved_and_nothing_is_without_a_folder(tmp_path):
    with pytest.raises(ZeroDivisionError):
        SavedResults(tmp_path).get("score", {}, lambda: {"value": 1 / 0})
    for saved in (SavedResults(tmp_path), SavedResults(None), SavedResults(None)):
        assert saved.get("score", {}, lambda: {"value": 1}) == {"value": 1}
    assert SavedResults(None).get("score", {}, lambda: {"value": 2}) == {"value": 2}
