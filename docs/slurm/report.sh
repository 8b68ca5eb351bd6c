#!/usr/bin/env bash
# Tables and page of finished sweeps: one process, minutes.
#   sbatch --export=ALL,SWEEPS='work_dirs/a work_dirs/b' docs/slurm/report.sh
#SBATCH --job-name=report
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=1:00:00
#SBATCH --open-mode=append
set -euo pipefail
SWEEPS=${SWEEPS:?"the sweeps' folders, with spaces between them"}
OUT=${OUT:-work_dirs/report}
cd "${SUITE:-$SLURM_SUBMIT_DIR}"
# shellcheck disable=SC2086  # several folders
.venv/bin/python tools/report.py $SWEEPS --out "$OUT" --paper
