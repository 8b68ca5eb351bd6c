#!/usr/bin/env bash
# A classifier on ImageNet-C, corrupted on the fly.
#   sbatch --export=ALL,DATA=/data/imagenet/val,CHECKPOINT=epoch_360.pth docs/slurm/sweep_classification.sh
#SBATCH --job-name=sweep_classification
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --open-mode=append
#SBATCH --signal=TERM@60
set -euo pipefail
DATA=${DATA:?"ImageNet's validation folder"}
CHECKPOINT=${CHECKPOINT:?"the classifier's checkpoint"}
WORK=${WORK:-work_dirs/sweep_classification}
cd "${SUITE:-$SLURM_SUBMIT_DIR}"
export OMP_NUM_THREADS=1 MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
# srun itself ends the other tasks when one fails, and passes the cores of a task on.
run=(srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" .venv/bin/python)
"${run[@]}" tools/robustness.py configs/cls/stl_fan_b_student.py "$CHECKPOINT" --launcher slurm \
  --protocol stl-imagenet-c --data-root "$DATA" --work-dir "$WORK" --amp --batch-size 64
