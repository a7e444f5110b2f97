"""The paper's figures are read as they stand; a file of another form is refused with its line."""

from pathlib import Path

import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.compare.reference import Published, read_published, read_tables


def test_rows_are_named_by_method_parent_and_dimension(tmp_path: Path):
    file = tmp_path / "word_similarity.csv"
    file.write_text("method,parent,dim,rg65,average\nskip-gram,,768,0.8,\nX2Static,BERT,768,0.7,0.6\n")
    assert read_published(file) == [
        Published("skip-gram, 768", {"rg65": 0.8}),
        Published("X2Static, BERT, 768", {"rg65": 0.7, "average": 0.6}),
    ]


def test_the_shared_figures_are_read(shared: Path):
    if not (shared / "reference").is_dir():
        pytest.skip(f"needs the paper's figures in {shared}/reference")
    assert len(read_published(shared / "reference" / "word_similarity.csv")) == 25
    assert len(read_published(shared / "reference" / "classification.csv")) == 18


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected the columns"),
        (b"a,b\n1,2\n", "expected the columns"),
        (b"method,parent,dim,rg65\nx,,1,high\n", "line 2: a figure is no number"),
        (b"method,parent,dim,rg65\nx,,1,nan\n", "line 2: a figure is not finite"),
        (b"method,parent,dim,rg65\nx,,1\n", "line 2: not as many columns"),
        (b"method,parent,dim,rg65\nx,,1,2,3\n", "line 2: not as many columns"),
        (b"method,parent,dim\n\xff", "not valid UTF-8"),
    ],
)
def test_another_form_is_refused(content: bytes, said: str, tmp_path: Path):
    file = tmp_path / "word_similarity.csv"
    file.write_bytes(content)
    with pytest.raises(X2StaticError, match=said):
        read_published(file)


def test_one_file_of_the_two_is_enough_and_none_is_refused(tmp_path: Path):
    assert read_tables(None) == {}
    with pytest.raises(X2StaticError, match="--reference takes their folder"):
        read_tables(tmp_path)
    (tmp_path / "classification.csv").write_text("method,parent,dim,cr_f1\nx,,1,80\n")
    assert read_tables(tmp_path) == {"classification.csv": [Published("x, 1", {"cr_f1": 80})]}
