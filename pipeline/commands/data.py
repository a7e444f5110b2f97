"""`x2static data`."""

import click


@click.command()
def data() -> None:
    """Not there yet."""
