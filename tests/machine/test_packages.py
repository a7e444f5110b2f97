"""Versions, for the records."""

from importlib.metadata import version

from x2static.machine.packages import package_version


def test_a_version_is_the_installed_one_or_said_to_be_missing() -> None:
    assert package_version("numpy") == version("numpy")
    assert package_version("x2static-is-not-called-so") == "not installed"
