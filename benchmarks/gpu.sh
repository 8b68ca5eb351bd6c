#!/usr/bin/env bash
# The first ten minutes on a GPU: does everything that differs there do what it should?
#   bash benchmarks/gpu.sh [--device cuda|cpu] [--out DIR] [--parts 'NAME ...']
# One line a check: ok, OFF or skip, what is expected, what came. A part that fails or takes longer
# than its limit is OFF, and the others go on; what needs OpenMMLab is skipped without it.
# --device cpu is the rehearsal, at a tiny size. Exit code 1 if a line is OFF.
set -u
shopt -s extglob
cd "$(dirname "$0")/.."
device=cuda out=$(mktemp -d) parts=
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=${2:-} ;;
        --out) out=${2:-} ;;
        --parts) parts=${2:-} ;;
        *) echo "gpu.sh: error: expected --device, --out or --parts, got '$1'" >&2; exit 2 ;;
    esac
    shift 2 || { echo "gpu.sh: error: the last option has no value" >&2; exit 2; }
done
case $device in
    cuda | cpu) ;;
    *) echo "gpu.sh: error: --device must be cuda or cpu, got '$device'" >&2; exit 2 ;;
esac
mkdir -p "$out" || exit 2
python=${PYTHON:-.venv/bin/python}
command -v "$python" >/dev/null || python=python3
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}"
# Seconds of each part on a GPU; together under ten minutes. A rehearsal may take ten times as long.
limits="versions:25 data:30 tests:60 differences:45 backbone:60 profile:30 corruptions:45
    workers:60 killed:60 training:90 pretraining:60 memory:30"
for part in $parts; do
    [[ $limits == *"$part:"* ]] && continue
    echo "gpu.sh: error: --parts: no part '$part'; there are" ${limits//:[0-9]*([0-9])/} >&2
    exit 2
done
[ "$device" = cpu ] && patience=10 || patience=1
lines=$out/lines.md
: >"$lines"
printf '| | check | expected | came |\n|---|---|---|---|\n'
for entry in $limits; do
    part=${entry%:*} seconds=$((${entry#*:} * patience))
    [[ -z $parts || " $parts " == *" $part "* ]] || continue
    timeout -k 5 "$seconds" "$python" benchmarks/gpu_checks.py "$part" --device "$device" \
        --out "$out" 2>"$out/$part.log" | tee -a "$lines"
    code=${PIPESTATUS[0]}
    [ "$code" -eq 0 ] && continue
    came="exit code $code: $(tail -n 1 "$out/$part.log" | tr '|' '/' | cut -c 1-160)"
    [ "$code" -ge 124 ] && came="not done after $seconds s"
    echo "| OFF | $part | ends by itself | $came |" | tee -a "$lines"
done
off=$(grep -c '^| OFF' "$lines")
echo
echo "$(grep -c '^| ok' "$lines") ok, $off OFF, $(grep -c '^| skip' "$lines") skipped; lines and logs: $out"
[ "$off" -eq 0 ]
