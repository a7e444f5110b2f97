"""A result that is saved is made once for each of its origins, and never taken for another."""

import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.teacher_reference import saved_result


def test_a_result_is_made_once_for_each_origin_and_one_that_fails_is_not_saved(tmp_path):
    folder, computed = tmp_path / "new" / "folder", []

    def compute(value: int):
        return lambda: (computed.append(value), {"value": value, "half": 1 / value})[1]

    for _ in range(2):  # another run
        assert saved_result(folder, "score", {"seed": 1}, compute(1)) == {"value": 1, "half": 1.0}
        assert saved_result(folder, "score", {"seed": 2}, compute(2)) == {"value": 2, "half": 0.5}
        assert saved_result(folder, "other", {"seed": 1}, compute(4)) == {"value": 4, "half": 0.25}
        with pytest.raises(ZeroDivisionError):
            saved_result(folder, "score", {"seed": 3}, compute(0))
    assert computed == [1, 2, 4, 0, 0]
    assert len(list(folder.iterdir())) == 3
    for value in (1, 2):
        assert saved_result(None, "score", {}, compute(value))["value"] == value


def test_a_file_of_another_origin_is_not_taken_and_a_damaged_one_is_named(tmp_path):
    saved_result(tmp_path, "score", {"seed": 1}, lambda: {"value": 1})
    (path,) = tmp_path.iterdir()
    path.write_text('{"origin": {"seed": 3}, "result": {"value": 9}}')
    assert saved_result(tmp_path, "score", {"seed": 1}, lambda: {"value": 2}) == {"value": 2}
    path.write_text("{")
    with pytest.raises(X2StaticError, match=rf"{path.name}: not valid JSON"):
        saved_result(tmp_path, "score", {"seed": 1}, lambda: {"value": 1})
