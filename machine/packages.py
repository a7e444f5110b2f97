"""Versions of what runs, for the records that caches and vectors keep."""

from importlib.metadata import PackageNotFoundError, version

NOT_INSTALLED = "not installed"


def package_version(package: str) -> str:
    """Return the version of an installed package; NOT_INSTALLED for one that runs from a bare checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED
