#!/bin/sh
#SBATCH --job-name=x2static
#SBATCH --open-mode=append
# A corpus read by many machines under Slurm: one plan, an array of parts, then one cache and vectors.
# usage: examples/slurm_array.sh FOLDER PARTS CORPUS [MODEL]     (submits three jobs; again, after failures: goes on)
# FOLDER, CORPUS and MODEL are seen by all machines under these names. In the environment:
#   SBATCH_OPTIONS, such as "--gpus=1 --cpus-per-task=16 --time=24:00:00"; ENCODE_OPTIONS, TRAIN_OPTIONS of x2static
set -eu
folder=$1 parts=$2 corpus=$3 model=${4:-demo} step=${5:-submit}

encode() { # --cache and --part, in the background: so the shell hears a signal at once, and hands it on
    # shellcheck disable=SC2086
    x2static encode --model "$model" --corpus "$corpus" ${ENCODE_OPTIONS:-} "$@" &
    child=$!
    trap 'kill -TERM "$child" 2>/dev/null' TERM INT
    status=0
    wait "$child" || status=$?
    if kill -0 "$child" 2>/dev/null; then # it was the signal that ended the waiting; the units that are done are saved
        status=0
        wait "$child" || status=$?
    fi
    if [ "$status" = 130 ]; then # preempted, or out of time: to the end of the queue, to go on from there
        scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$status"
}

case $step in
submit)
    mkdir -p "$folder/log"
    submit() { # the options of a job, then its step
        options=$1 step=$2
        # shellcheck disable=SC2086
        sbatch --parsable --requeue --signal=B:TERM@60 ${SBATCH_OPTIONS:-} $options \
            "$0" "$folder" "$parts" "$corpus" "$model" "$step"
    }
    plan=$(submit "--output=$folder/log/plan" plan)
    array=$(submit "--output=$folder/log/%a --array=1-$parts --dependency=afterok:$plan" part)
    submit "--output=$folder/log/whole --dependency=afterok:$array" whole
    ;;
plan) # the text is looked through once, by a part that has no unit
    encode --cache "$folder/plan" --part 999999999/999999999
    ;;
part) # every PARTS-th unit, in a cache of its own that begins with the plan
    part=$SLURM_ARRAY_TASK_ID
    trap 'scontrol requeue "$SLURM_JOB_ID"; exit 130' TERM
    sleep "$((part % 60 * ${STAGGER_SECONDS:-2}))" & # not all load the teacher at once
    wait "$!"
    if ! [ -e "$folder/parts/$part/manifest.json" ]; then
        rm -rf "$folder/parts/$part.new" "$folder/parts/$part"
        mkdir -p "$folder/parts"
        cp -Rp "$folder/plan" "$folder/parts/$part.new"
        mv "$folder/parts/$part.new" "$folder/parts/$part"
    fi
    encode --cache "$folder/parts/$part" --part "$part/$parts"
    ;;
whole) # files are linked, not copied; what is missing, and words in phrases, is read here
    caches=$(i=1; while [ "$i" -le "$parts" ]; do echo "$folder/parts/$i"; i=$((i + 1)); done)
    # shellcheck disable=SC2086
    x2static cache merge $caches --out "$folder/cache"
    x2static cache info "$folder/cache"
    encode --cache "$folder/cache"
    # shellcheck disable=SC2086
    x2static train --cache "$folder/cache" --out "$folder/run" ${TRAIN_OPTIONS:-}
    ;;
esac
