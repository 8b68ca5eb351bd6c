#!/usr/bin/env bash
# SegFormer on FAN, Cityscapes: 8 images a step, one on each of 8 GPUs.
#   sbatch --export=ALL,DATA=/data/cityscapes,PRETRAINED=work_dirs/student/epoch_360.pth docs/slurm/train_segmentation.sh
#SBATCH --job-name=train_segmentation
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=12
#SBATCH --time=48:00:00
#SBATCH --open-mode=append
#SBATCH --signal=TERM@60
set -euo pipefail
DATA=${DATA:?"Cityscapes' folder"}
PRETRAINED=${PRETRAINED:?"the student's checkpoint"}
WORK=${WORK:-work_dirs/segmentation}
cd "${SUITE:-$SLURM_SUBMIT_DIR}"
export OMP_NUM_THREADS=1 MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
# srun itself ends the other tasks when one fails, and passes the cores of a task on.
run=(srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" .venv/bin/python)
resume=()
[ -e "$WORK/.lock" ] && resume=(--resume)  # it ran before
"${run[@]}" tools/train.py configs/seg/stl_fan_b_cityscapes.py --launcher slurm --amp \
  --data-root "$DATA" --work-dir "$WORK" "${resume[@]}" \
  --cfg-options batch_size=1 pretrained="$PRETRAINED"
