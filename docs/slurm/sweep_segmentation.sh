#!/usr/bin/env bash
# A segmentation model on Cityscapes-C, corrupted on the fly.
#   sbatch --export=ALL,DATA=/data/cityscapes,CHECKPOINT=iter_160000.pth docs/slurm/sweep_segmentation.sh
#SBATCH --job-name=sweep_segmentation
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --open-mode=append
#SBATCH --signal=TERM@60
set -euo pipefail
DATA=${DATA:?"Cityscapes' folder"}
CHECKPOINT=${CHECKPOINT:?"the model's checkpoint"}
WORK=${WORK:-work_dirs/sweep_segmentation}
cd "${SUITE:-$SLURM_SUBMIT_DIR}"
export OMP_NUM_THREADS=1 MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
# srun itself ends the other tasks when one fails, and passes the cores of a task on.
run=(srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" .venv/bin/python)
"${run[@]}" tools/robustness.py configs/seg/stl_fan_b_cityscapes.py "$CHECKPOINT" --launcher slurm \
  --protocol stl-cityscapes-c --data-root "$DATA" --work-dir "$WORK" --amp
