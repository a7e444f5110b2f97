"""Records of scores: those of an earlier version are read."""

import json

from x2static.pipeline.compare import scores


def test_a_record_of_version_0_1_0_with_its_deviations_is_read(tmp_path):
    task = {
        "task": "cr",
        "accuracy": 0.75,
        "accuracy_deviation": 0.0,
        "macro_f1": 0.5,
        "macro_f1_deviation": 0.0,
        "runs": 1,
    }
    classification = {"data": "d", "seconds": 1.5, "pairs": [], "classes": [task]}
    record = {"vectors": "v", "seconds": 2.0, "vocabulary": 9, "dim": 3, "classification": classification}
    file = scores.file_of(tmp_path, "x2static-0")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record))
    loaded = scores.load(tmp_path, "x2static-0", "v")
    assert loaded.classification.classes == (scores.Accuracy(**task),)
