"""Matrices as safetensors, written straight from memory."""

import json
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt


def write_matrices(file: BinaryIO, matrices: dict[str, npt.NDArray[np.float32]]) -> None:
    """Write float32 matrices in the safetensors format, without a copy of them in memory.

    The library's own writer reports a full disk as an error of its own kind, without a number, and makes a copy of
    everything first (2.3 GB for 750,000 words of 768 dimensions). The format is a length (8 bytes, little-endian), a
    JSON header, the bytes; the library reads it back in the tests.

    Raises:
        OSError: the file cannot be written.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, matrix in matrices.items():
        begin, end = end, end + matrix.nbytes
        header[name] = {"dtype": "F32", "shape": list(matrix.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of eight
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for matrix in matrices.values():
        file.write(np.ascontiguousarray(matrix, np.float32).data)
