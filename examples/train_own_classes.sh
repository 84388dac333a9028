#!/bin/sh
# From a folder of your own classes, DATA/<class>/*.jpg, to an int8 file that fer-run takes.
#
#     sh examples/train_own_classes.sh DATA OUT [EPOCHS]
#
# With few images, start from a trained network: add --init models/fer-small.pt to the second command.
set -eu
data=$1 out=$2 epochs=${3:-60}

fer-train audit "$data" || echo "the audit found problems, see above; training goes on"
fer-train fit "$data" --model nano --epochs "$epochs" --out "$out"
fer-train evaluate "$out/model.pt" "$data"
fer-export "$out/model.pt" --precision auto --data "$data" --out "$out/"
