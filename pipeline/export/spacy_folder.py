"""A spaCy pipeline of nothing but vectors: `spacy.load(FOLDER)`. spaCy cuts text by its own rules.

A token's vector is that of its lower-cased form, as the words of a vocabulary are.
"""

import json
from pathlib import Path

from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.vectors import WordVectors

ANY = "xx"  # spaCy's name of no language in particular


def write(vectors: WordVectors, folder: Path, smaller: Smaller) -> None:
    """Write the folder."""
    import spacy
    from spacy.vectors import Vectors

    nlp = spacy.blank(ANY)
    keys = [nlp.vocab.strings.add(word) for word in vectors.words]
    nlp.vocab.vectors = Vectors(
        strings=nlp.vocab.strings, data=vectors.matrix, keys=keys, name="x2static", attr="LOWER"
    )
    nlp.meta["name"] = "x2static"
    nlp.to_disk(folder)
    # spaCy reads which form of a token is looked up, and writes it for its floret vectors alone (3.8).
    (folder / "vocab" / "vectors.cfg").write_text(json.dumps({"mode": "default", "attr": nlp.vocab.vectors.attr}))
