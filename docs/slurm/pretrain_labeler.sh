#!/usr/bin/env bash
# STL, stage 1: the token labeler, on 16 GPUs.
#   sbatch --export=ALL,DATA=/data/imagenet docs/slurm/pretrain_labeler.sh
#SBATCH --job-name=pretrain_labeler
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=72:00:00
#SBATCH --open-mode=append
#SBATCH --signal=TERM@60
set -euo pipefail
DATA=${DATA:?"ImageNet's folder"}
WORK=${WORK:-work_dirs/labeler}
cd "${SUITE:-$SLURM_SUBMIT_DIR}"
export OMP_NUM_THREADS=1 MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
# srun itself ends the other tasks when one fails, and passes the cores of a task on.
run=(srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" .venv/bin/python)
resume=()
[ -e "$WORK/.lock" ] && resume=(--resume)  # it ran before
"${run[@]}" tools/pretrain.py configs/cls/stl_fan_b_labeler.py --launcher slurm --amp \
  --data-root "$DATA" --work-dir "$WORK" "${resume[@]}" --cfg-options batch_size=128
