"""The version of x2static that is running."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Return the installed version; "unknown" for a checkout that is not installed."""
    try:
        return version("x2static")
    except PackageNotFoundError:
        return "unknown"
