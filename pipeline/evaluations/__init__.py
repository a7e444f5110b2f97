"""What `x2static evaluate` can score: a module a task, each with one function `run(vectors, asked) -> Evaluated`."""
