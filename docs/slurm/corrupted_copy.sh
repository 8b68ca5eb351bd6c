#!/usr/bin/env bash
# ImageNet-C on disk, on four nodes without GPUs: one task a node, whose workers fill the cores.
#   sbatch --export=ALL,DATA=/data/imagenet,COPY=/data/imagenet-c docs/slurm/corrupted_copy.sh
#SBATCH --job-name=corrupted_copy
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --open-mode=append
#SBATCH --signal=TERM@60
set -euo pipefail
DATA=${DATA:?"ImageNet's folder"}
COPY=${COPY:?"where the copy goes"}
cd "${SUITE:-$SLURM_SUBMIT_DIR}"
export OMP_NUM_THREADS=1
# srun itself ends the other tasks when one fails, and passes the cores of a task on.
run=(srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" .venv/bin/python)
"${run[@]}" tools/generate_corruptions.py "$DATA" "$COPY" --layout imagenet
