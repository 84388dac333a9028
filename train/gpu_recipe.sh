#!/usr/bin/env bash
# Train the teachers and every size unattended on one GPU, in stages of at most 9 minutes that resume one another:
#   train/gpu_recipe.sh fer2013.zip runs/gpu [MINUTES] [further options of fer_train.experiments.gpu_schedule]
# Call it again until it says that all runs are finished, then, where fer-edge is installed:
#   fer-train finish runs/gpu/keep/small-0.pt fer2013.zip --out runs/small-gpu
# It needs no network and nothing of ours installed: python3 with torch >= 2.11, numpy and OpenCV.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 DATA FOLDER [MINUTES], for example: $0 fer2013.zip runs/gpu 9" >&2
    exit 2
fi
data=$1 folder=$2 minutes=${3:-9}
shift $(($# < 3 ? $# : 3))
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/train:$root/runtime${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -m fer_train.experiments.gpu_schedule "$data" "$folder" --minutes "$minutes" "$@"
