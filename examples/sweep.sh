#!/bin/sh
# Which settings suit a corpus? Many trainings from one cache, scored and ranked; the teacher does not run again.
# usage: examples/sweep.sh FOLDER       (after examples/distil.sh FOLDER)
set -eu
folder=$1

# Four trials; a killed sweep goes on where it stopped, and a larger grid later repeats none of them.
x2static sweep --cache "$folder/cache" --out "$folder/sweep" --min-count 3 -p lr=3e-4,3e-3 -p transform=none,whiten
echo "open $folder/sweep/sweep.html, or read $folder/sweep/sweep.parquet"
