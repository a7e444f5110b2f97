"""`python -m pipeline` is `x2static`."""

from pipeline.cli import main

main()
