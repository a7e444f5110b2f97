"""The competing methods, on the corpus and vocabulary of a cache: each makes word vectors of the same kind."""
