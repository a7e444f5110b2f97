"""Where PyTorch computes, and how arrays get there."""

import numpy as np
import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes with bfloat16, and does not merely hold it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def pick_device(name: str) -> torch.device:
    """Return the device for "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        X2StaticError: a GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise X2StaticError("--device cuda: PyTorch finds no CUDA device on this machine; give --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def to_device(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on the device; to an accelerator it is copied while the host goes on."""
    tensor = torch.from_numpy(array)
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
