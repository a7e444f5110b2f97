"""The first principal component of a word's contextual vectors (Ethayarajh, EMNLP 2019, section 4.3), streaming.

"First principal component" is taken as the paper defines it in section 3.3: by the singular values of the matrix whose
rows are the word's contextual vectors, which is not centred. (Of the code that was published with the paper, an early
version does so, a later one centres first.) What is not centred points along what a word's vectors have in common; what
is centred, along what differs most between them. A right singular vector has length 1 and no sign; the sign here is
that of its product with the mean of the word's vectors.
"""

from x2static.baselines.occurrences import StateFile, gather
from x2static.baselines.request import Request, Result
from x2static.baselines.sketches import ROWS, Sketches
from x2static.baselines.teacher import result_of


def make(request: Request) -> Result:
    """Return the first principal component of each word's contextual vectors at a layer, of length 1.

    Raises X2StaticError: teacher or text are not found as they were; there is no such layer; the words are too many for
    the machine's memory.
    """
    sketches = Sketches()
    units_found = gather(request, request.words, sketches, StateFile(request.folder / "sketches.safetensors"))
    origin = {
        "units_found": units_found,
        "pooling": "first principal component, not centred",
        "occurrences": int(sketches.tensors["counts"].sum()),
        "rows_per_word": ROWS,
    }
    return result_of(request, sketches.components(), origin)
