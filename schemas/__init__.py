"""What the two stages agree on: configurations, the cache and the word vectors. Imports no other room."""
