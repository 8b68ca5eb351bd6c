"""One part of `gpu.sh`: prints a line a check, with what is expected and what came.

    python benchmarks/gpu_checks.py differences --device cuda --out DIR

The networks' weights and images are drawn from fixed seeds. With ``--device cpu`` every part runs
at a tiny size, so that on the day there is a GPU nothing but the GPU is new.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gpu_runs
import torch
from gpu_lines import Checks

from stl_backbones.models.fan import FAN
from stl_backbones.models.variants import get_variant

MIB = 1 << 20


def main() -> None:
    """Run the part that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, required=True, help="data, logs and results")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} sees no GPU")
    checks = Checks(args.device, args.out)
    try:
        PARTS[args.part](checks)
    except ModuleNotFoundError as error:
        checks.skip(args.part, f"needs {error.name}")


def network(arch: str) -> FAN:
    """A FAN with drawn weights, its token classifier too."""
    torch.manual_seed(0)
    return FAN(get_variant(arch), num_classes=1000).eval()


def versions(checks: Checks) -> None:
    """What is installed, and whether its parts fit each other."""
    checks.note("python, torch", f"{platform.python_version()}, {torch.__version__}")
    if checks.on_gpu:
        capability = torch.cuda.get_device_capability()
        kind = f"sm_{capability[0]}{capability[1]}"
        checks.note("device", f"{torch.cuda.get_device_name()}, {kind}")
        archs = torch.cuda.get_arch_list()
        # A minor version runs what was compiled for its major one.
        fits = any(arch.startswith(f"sm_{capability[0]}") for arch in archs)
        checks.line("torch compiled for it", f"{kind} or its family", ", ".join(archs), ok=fits)
        checks.line("bfloat16", "yes", str(torch.cuda.is_bf16_supported()),
                    ok=torch.cuda.is_bf16_supported())  # fmt: skip
        checks.note("CUDA, cuDNN, NCCL", f"{torch.version.cuda}, {torch.backends.cudnn.version()}, "
                    f"{torch.cuda.nccl.version()}")  # fmt: skip
    checks.note("TF32 in torch's defaults", f"matmul {torch.backends.cuda.matmul.allow_tf32}, "
                f"convolutions {torch.backends.cudnn.allow_tf32}")  # fmt: skip
    from mmcv.ops import get_compiling_cuda_version

    compiled = get_compiling_cuda_version()
    wanted = str(torch.version.cuda) if checks.on_gpu else "not available"
    checks.line("mmcv compiled with CUDA", wanted, compiled,
                ok=not checks.on_gpu or compiled.split(".")[0] == wanted.split(".")[0])  # fmt: skip


def differences(checks: Checks) -> None:
    """The same network and images on the CPU and on the device."""
    arch, side, batch = checks.choose(("base_hybrid", 224, 4), ("tiny_hybrid", 64, 2))
    model = network(arch)
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        reference = model.forward_dense(images)[-1].double()
        model, moved = model.to(checks.device), images.to(checks.device)
        for tf32, bound in ((False, 1e-4), (True, 2e-2)):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.allow_tf32 = tf32
            apart = _apart(model.forward_dense(moved)[-1], reference)
            checks.line(f"{arch} float32, TF32 {'on' if tf32 else 'off'}, against the CPU's",
                        f"at most {bound:g} of the largest value", f"{apart:.2g}",
                        ok=apart <= bound)  # fmt: skip
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        exact = model.forward_dense(moved)[-1]
        with torch.autocast(checks.device, torch.bfloat16):
            lowered = model.forward_dense(moved)[-1]
    alike = torch.nn.functional.cosine_similarity(exact.float(), lowered.float(), dim=1).mean()
    checks.line(f"{arch} bfloat16, direction of each token's vector", "cosine at least 0.99",
                f"{alike:.4f}", ok=bool(alike >= 0.99))  # fmt: skip


def _apart(found: torch.Tensor, reference: torch.Tensor) -> float:
    return float((found.double().cpu() - reference).abs().max() / reference.abs().max())


def profile(checks: Checks) -> None:
    """Where one forward spends its time."""
    arch, side = checks.choose(("base_hybrid", 1024), ("tiny_hybrid", 128))
    model = network(arch).to(checks.device)
    images = torch.randn(1, 3, side, side, device=checks.device)
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if checks.on_gpu else []
    with torch.inference_mode(), torch.autocast(checks.device, torch.bfloat16):
        model.forward_dense(images)
        with torch.profiler.profile(activities=activities) as recorded:
            model.forward_dense(images)
    kind = "self_device_time_total" if checks.on_gpu else "self_cpu_time_total"
    times = {event.key: getattr(event, kind) for event in recorded.key_averages()}
    # On a GPU the time of an operator and of its kernels is the same time, counted twice.
    times = {key: time for key, time in times.items() if key.startswith("aten::")}
    total = sum(times.values())
    for key in sorted(times, key=times.__getitem__, reverse=True)[:6]:
        checks.note(f"{arch} {side}x{side} bfloat16, {key}", f"{times[key] / total:.0%}")
    copies = sum(times.get(f"aten::{name}", 0.0) for name in ("copy_", "clone", "cat")) / total
    most = checks.choose(0.25, 1.0)  # of tiny maps nothing is expected
    checks.line("copies", f"at most {most:.0%} of the time", f"{copies:.0%}", ok=copies <= most)


def memory(checks: Checks) -> None:
    """Peak memory of a training step, against the tensors that autograd keeps."""
    arch, side, batch = checks.choose(("large_hybrid", 224, 32), ("tiny_hybrid", 64, 4))
    model = network(arch).train()
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        if not isinstance(tensor, torch.nn.Parameter):
            kept += tensor.numel() * tensor.element_size()
        return tensor

    def step(images: torch.Tensor) -> None:
        with torch.autocast(images.device.type, torch.bfloat16):
            maps = model.forward_dense(images)
        sum(part.float().mean() for part in maps).backward()

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        step(torch.randn(2, 3, side, side))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    expected = (3 * weights + kept * batch / 2) / MIB  # with gradients, and weights in bfloat16
    what = f"peak of a step of {arch}, {batch} images of {side}x{side}, bfloat16"
    if not checks.on_gpu:
        kept = 0
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            step(torch.randn(batch, 3, side, side))
        came = (3 * weights + kept) / MIB
    else:
        model.zero_grad(set_to_none=True)
        model.to(checks.device)
        torch.cuda.reset_peak_memory_stats()
        step(torch.randn(batch, 3, side, side, device=checks.device))
        came = torch.cuda.max_memory_allocated() / MIB
    checks.line(what, f"{expected:.0f} MiB by what autograd keeps, 0.5 to 1.5 times",
                f"{came:.0f} MiB", ok=0.5 <= came / expected <= 1.5)  # fmt: skip


PARTS: dict[str, Callable[[Checks], None]] = {
    "versions": versions,
    "data": gpu_runs.data,
    "tests": gpu_runs.tests,
    "differences": differences,
    "backbone": gpu_runs.backbone,
    "profile": profile,
    "corruptions": gpu_runs.corruptions,
    "workers": gpu_runs.workers,
    "killed": gpu_runs.killed,
    "training": partial(gpu_runs.training, kind="segmentation"),
    "pretraining": partial(gpu_runs.training, kind="pretraining"),
    "memory": memory,
}

if __name__ == "__main__":
    main()
