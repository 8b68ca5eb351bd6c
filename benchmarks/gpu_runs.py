"""The parts of `gpu_checks.py` that run the suite's tools, as a user would."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from gpu_lines import Checks

ROOT = Path(__file__).parents[1]
STEPS = 20
_SMALL = ["img_scale=(128,64)", "crop_size=(64,64)", "batch_size=2"]


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print("$", *command, "\n", done.stdout, done.stderr, file=sys.stderr, flush=True)
    return done


def _tool(checks: Checks, name: str, *words: object) -> subprocess.CompletedProcess[str]:
    return _run(ROOT / "tools" / name, "--device", checks.device, *words)


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines() or [""]
    return f"exit code {done.returncode}" + (f": {lines[-1][-120:]}" if done.returncode else "")


def _need(*names: str) -> None:
    for name in names:
        importlib.import_module(name)


def data(checks: Checks) -> None:
    """Generate what the other parts read, and a classifier's weights."""
    _need("cv2", "timm")
    import timm

    # A multiple of the batch, and enough for the steps of an epoch.
    done = _run(ROOT / "tools/make_mini_data.py", checks.out / "mini", "--train", 40, "--val", 16)
    checks.line("mini data", "exit code 0", _last_words(done), ok=done.returncode == 0)
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=10)
    torch.save(model.state_dict(), checks.out / "classifier.pth")


def tests(checks: Checks) -> None:
    """The tests that need a GPU."""
    _need("pytest")
    marked = [path for path in sorted((ROOT / "tests").rglob("test_*.py"))
              if "pytest.mark.gpu" in path.read_text(encoding="utf-8")]  # fmt: skip
    done = _run("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *marked)
    summary = (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")
    wanted = "passed" if checks.on_gpu else "skipped"
    checks.line("tests marked gpu", f"{wanted}, none failed", summary,
                ok=done.returncode == 0 and wanted in summary)  # fmt: skip


def backbone(checks: Checks) -> None:
    """FAN beside the plain formulas."""
    cases = checks.choose(
        ("base_hybrid,1024x1024x4,bf16,forward", "base_hybrid,1024x1024x2,fp32,forward",
         "base_hybrid,1024x1024x2,bf16,train"),
        ("tiny_hybrid,64x64,bf16,forward", "tiny_hybrid,64x64,fp32,train"),
    )  # fmt: skip
    words = [word for case in cases for word in ("--case", case)]
    done = _run(ROOT / "benchmarks/backbone.py", "--device", checks.device, "--turns", 1,
                "--steps", 3, *words)  # fmt: skip
    rows = [row.split("|") for row in done.stdout.splitlines() if re.match(r"\| \w+_", row)]
    least = 1.0 if checks.on_gpu else 0.0  # of times of milliseconds nothing is expected
    for row in rows:
        name, ratio, mib = row[1].strip(), float(row[4]), row[6].strip()
        checks.line(f"{name}, times as fast as the plain formulas", f"at least {least:g}",
                    f"{ratio:.2f}, {mib} MiB", ok=ratio >= least)  # fmt: skip
    checks.line("backbone table", f"{len(cases)} rows", f"{len(rows)} rows, {_last_words(done)}",
                ok=len(rows) == len(cases))  # fmt: skip


def corruptions(checks: Checks) -> None:
    """The torch corruptions beside mode 'fast' on all cores."""
    _need("cv2", "numba")
    size = checks.choose("2048x1024", "64x64")
    names = checks.choose([], ["--names", "gaussian_noise", "contrast"])
    done = _run(ROOT / "benchmarks/torch_corruptions.py", "--device", checks.device, "--sizes",
                size, "--severities", 3, "--repeats", 1, *names)  # fmt: skip
    rows = [row.split("|") for row in done.stdout.splitlines() if row.startswith("| ")][1:]
    least = 1.0 if checks.on_gpu else 0.0
    for _, name, ours, _, ratio, _ in rows[-1:] if checks.on_gpu else rows:
        checks.line(
            f"{name.strip()} at {size}, times as fast as on all cores", f"over {least:g}",
            f"{float(ratio):.2f}, {float(ours):.0f} images/s", ok=float(ratio) > least,
        )  # fmt: skip
    checks.line("torch corruptions", "exit code 0", _last_words(done), ok=done.returncode == 0)


def _sweep_words(checks: Checks, place: Path, workers: int) -> list[object]:
    chosen = checks.choose([], ["--corruptions", "contrast", "fog", "--severities", "1", "3"])
    return ["--timm", "test_resnet", "--checkpoint", checks.out / "classifier.pth", "--data-root",
            checks.out / "mini/imagenet/val", "--mode", "fast", "--batch-size", 16, "--workers",
            workers, "--work-dir", place, *chosen]  # fmt: skip


def _digests(place: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((place / "cells").glob("*"))
    }


def workers(checks: Checks) -> None:
    """A sweep with one worker and with many: the same bytes, sooner."""
    seconds, found = [], []
    many = checks.choose(16, 2)
    for count in (1, many):
        place, start = checks.out / f"workers {count}", time.monotonic()
        done = _tool(checks, "robustness.py", *_sweep_words(checks, place, count))
        seconds.append(time.monotonic() - start)
        found.append(_digests(place))
        came = f"{_last_words(done)}, {seconds[-1]:.0f} s"
        checks.line(f"sweep with {count} worker(s)", "exit code 0", came, ok=done.returncode == 0)
    checks.line("their cells", "the same bytes", f"{len(found[0])} and {len(found[1])} files",
                ok=found[0] == found[1] != {})  # fmt: skip
    checks.note(f"{many} workers, times as fast (start included)", f"{seconds[0] / seconds[1]:.2f}")


def killed(checks: Checks) -> None:
    """The same sweep, killed at its first block and started again."""
    place = checks.out / "killed"
    words = _sweep_words(checks, place, 1)
    command = [sys.executable, ROOT / "tools/robustness.py", "--device", checks.device, *words]
    with (checks.out / "killed.txt").open("w") as output:
        running = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=output, stderr=output)
        while not list(place.glob("blocks/*.npz")) and running.poll() is None:
            time.sleep(0.002)
        running.kill()
        code = running.wait()
    checks.line("kill", "-9, before any cell", f"{code}, {len(_digests(place))} cells",
                ok=code == -9 and not _digests(place))  # fmt: skip
    done = _tool(checks, "robustness.py", *words)
    checks.line("started again", "exit code 0", _last_words(done), ok=done.returncode == 0)
    same = _digests(place) == _digests(checks.out / "workers 1") != {}
    checks.line("its cells", "the bytes of the undisturbed sweep", "the same" if same else "others",
                ok=same)  # fmt: skip


_KINDS = {
    "segmentation": ("train.py", "configs/seg/stl_fan_t_mini.py", "mmseg", "mini/cityscapes",
                     [f"max_iters={STEPS}", f"val_interval={STEPS}", "warmup_iters=2",
                      "default_hooks.checkpoint.interval=10", *_SMALL]),
    "pretraining": ("pretrain.py", "configs/cls/stl_fan_t_mini_labeler.py", "mmengine",
                    "mini/imagenet",
                    ["epochs=2", "warmup_epochs=1", "val_interval=2", "batch_size=4",
                     "default_hooks.checkpoint.interval=1",
                     "train_dataloader.dataset.images_per_class=4"]),
}  # fmt: skip


def training(checks: Checks, kind: str) -> None:
    """Twenty steps, the second half once more by a resume, and the losses of both precisions."""
    tool, config, package, folder, options = _KINDS[kind]
    _need(package, "mmcv")

    def train(name: str, *words: object) -> subprocess.CompletedProcess[str]:
        return _tool(checks, tool, config, "--work-dir", checks.out / name, "--data-root",
                     checks.out / folder, *words, "--cfg-options", *options,
                     "default_hooks.logger.interval=1")  # fmt: skip

    whole, again = f"{kind} whole", f"{kind} again"
    done = train(whole, "--amp")
    losses = _losses(checks.out / whole)
    finite = len(losses) == STEPS and all(map(torch.isfinite, torch.tensor(losses)))
    checks.line(
        f"{kind}, {STEPS} steps in bfloat16", f"exit code 0, {STEPS} finite losses",
        f"{_last_words(done)}, {len(losses)} losses", ok=done.returncode == 0 and finite,
    )  # fmt: skip
    if done.returncode:
        return
    first, last = _ends(checks.out / whole)
    done = train(again, "--amp", "--resume", first)
    resumed = checks.out / again / last.name
    apart = _weights_apart(last, resumed) if resumed.is_file() else float("nan")
    bound = 1e-3 if checks.on_gpu else 0.0  # the order of a GPU's sums is not fixed
    checks.line(f"{kind}, resumed after half of them", f"weights apart by at most {bound:g}",
                f"{apart:.2g}, {_last_words(done)}", ok=apart <= bound)  # fmt: skip
    lowered = train(f"{kind} float16", "--amp", "float16")
    if not checks.on_gpu:
        checks.line(f"{kind} in float16", "refused on the CPU", _last_words(lowered),
                    ok=lowered.returncode == 2)  # fmt: skip
        return
    half = _losses(checks.out / f"{kind} float16")[-5:]
    means = [sum(part) / max(len(part), 1) for part in (losses[-5:], half)]
    checks.line(f"{kind}, last losses in float16 against bfloat16", f"{means[0]:.3f} within 5 %",
                f"{means[1]:.3f}", ok=abs(means[1] / means[0] - 1) <= 0.05)  # fmt: skip


def _losses(work_dir: Path) -> list[float]:
    found = []
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            found += [entry["loss"]] if "loss" in entry else []
    return found


def _ends(work_dir: Path) -> Sequence[Path]:
    """The checkpoint in the middle and the last one."""
    found = [path for path in work_dir.glob("*.pth") if re.match(r"(iter|epoch)_\d+", path.name)]
    found.sort(key=lambda path: int(path.stem.rpartition("_")[2]))
    return found[0], found[-1]


def _weights_apart(one: Path, other: Path) -> float:
    from stl_backbones.engine.safe_loaders import install_safe_loaders
    from stl_backbones.models import read_checkpoint

    install_safe_loaders()
    before, after = (read_checkpoint(path)["state_dict"] for path in (one, other))
    return max(
        float((after[name].float() - value.float()).abs().max() / value.abs().max().clamp_min(1))
        for name, value in before.items()
    )
