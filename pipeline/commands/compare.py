"""`x2static compare`."""

import click


@click.command()
def compare() -> None:
    """Not there yet."""
