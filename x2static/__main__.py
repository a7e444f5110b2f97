"""`python -m x2static` is `x2static`."""

from x2static.pipeline.cli import main

main()
