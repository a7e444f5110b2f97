#!/bin/sh
# From text to word vectors: a teacher reads a corpus once, vectors are trained from the cache, and used by gensim.
# usage: examples/distil.sh FOLDER [CORPUS [MODEL]]     (x2static[all] must be installed)
set -eu
folder=$1 corpus=${2:-demo} model=${3:-demo}

# Once: half a million words take all-MiniLM-L6-v2 a minute on two cores.
x2static encode --model "$model" --corpus "$corpus" --cache "$folder/cache" ${LIMIT:+--limit "$LIMIT"}

# Seconds, as often as you like, with other settings: nothing below this line runs the teacher.
x2static train --cache "$folder/cache" --out "$folder/run" --objective closed-form --min-count 3
x2static evaluate "$folder/run"

x2static export "$folder/run" --to word2vec-bin --out "$folder/vectors.bin" --force
python3 - "$folder/vectors.bin" <<'PYTHON'
import sys

from gensim.models import KeyedVectors

vectors = KeyedVectors.load_word2vec_format(sys.argv[1], binary=True)
print(", ".join(word for word, _ in vectors.most_similar(vectors.index_to_key[50], topn=5)))
PYTHON
