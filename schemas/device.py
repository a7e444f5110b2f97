"""Where PyTorch computes."""

import torch

from schemas.errors import X2StaticError


def pick_device(name: str) -> torch.device:
    """Return the device for "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        X2StaticError: a GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise X2StaticError("--device cuda: PyTorch finds no CUDA device on this machine; give --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
