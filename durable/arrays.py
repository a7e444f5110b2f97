"""Arrays in a file, in the safetensors format, which its library reads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

DTYPES = {
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "int8": "I8",
    "int32": "I32",
    "int64": "I64",
}  # as safetensors calls them


def write_arrays(
    file: BinaryIO, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name, whose types DTYPES has, in the safetensors format, without a copy of them.

    The library's own writer makes a copy of everything first, and gives a full disk's error no number. The format is a
    length (8 bytes, little-endian), a JSON header, which holds the metadata too, and the bytes.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of eight
    file.write(len(text).to_bytes(8, "little") + text)
    for array in tensors.values():
        for part in [array] if array.flags.c_contiguous else array:  # or row by row of its first axis
            file.write(np.ascontiguousarray(part).data)


def mapped(path: Path, name: str) -> "np.memmap[Any, Any]":
    """Return an array of a file in the safetensors format, mapped into memory, to be read.

    Raises SafetensorError, KeyError, OSError: the file is damaged, lacks the array, or cannot be read.
    """
    with safe_open(path, framework="numpy") as file:  # which looks through the header, whose lengths must fit
        if name not in file.keys():  # noqa: SIM118  # no mapping
            raise KeyError(name)
    with path.open("rb") as head:
        length = int.from_bytes(head.read(8), "little")
        entry = json.loads(head.read(length))[name]
    types = {code: numpy_name for numpy_name, code in DTYPES.items()}
    return np.memmap(path, types[entry["dtype"]], "r", 8 + length + entry["data_offsets"][0], tuple(entry["shape"]))
