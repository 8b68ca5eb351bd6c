"""What it brings that glibc keeps freed memory, as the tools have it: networks on the CPU.

    python benchmarks/allocation.py [--turns 3] [--passes 10]

Each case runs in processes of its own, with and without `set_up_memory` in turn; the best pass
of all turns counts. Peer: the same network in a process as Python starts it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

CASES = {
    "EfficientNet-Lite0, 16 images of 224": ("tf_efficientnet_lite0", 16, 224, False),
    "ResNet-50, 8 images of 224": ("resnet50", 8, 224, False),
    "FAN-T, 4 images of 128x256": ("fan", 4, 0, False),
    "FAN-T, a training step of 4 images of 128x256": ("fan", 4, 0, True),
}


def run(name: str, passes: int, kept: bool) -> dict[str, float]:
    """Seconds, page faults and peak memory of some passes in this process."""
    if kept:
        from stl_backbones.cli.memory import set_up_memory

        if not set_up_memory():
            raise SystemExit("not on glibc, or its settings are the user's: nothing to compare")
    import timm
    import torch

    from stl_backbones.models import FAN
    from stl_backbones.models.variants import get_variant

    torch.manual_seed(0)
    kind, batch, side, trains = CASES[name]
    size = (side, side) if side else (128, 256)
    if kind == "fan":
        network = FAN(get_variant("tiny_hybrid"), num_classes=0)
        network.freeze_class_path()
        predict = network.forward_dense
    else:
        predict = network = timm.create_model(kind)
    network.train(trains)
    images = torch.rand(batch, 3, *size)

    def step() -> None:
        with torch.set_grad_enabled(trains):
            maps = predict(images)
        if trains:
            sum(part.mean() for part in maps).backward()

    step()
    before, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, []
    for _ in range(passes):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": min(seconds), "faults": (used.ru_minflt - before) / passes,
            "mib": used.ru_maxrss / 1024}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run(args.one[0], args.passes, args.one[1] == "kept")))
        return
    heads = (
        "network", "seconds a pass, as started", "kept", "ratio", "page faults a pass", "kept",
        "peak MiB", "kept",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|---|")
    for name in CASES:
        found: dict[str, list[dict[str, float]]] = {"started": [], "kept": []}
        for _ in range(args.turns):
            for how, results in found.items():
                command = [
                    sys.executable,
                    __file__,
                    "--passes",
                    str(args.passes),
                    "--one",
                    name,
                    how,
                ]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                results.append(json.loads(done.stdout.splitlines()[-1]))
        plain, kept = (min(results, key=lambda one: one["seconds"]) for results in found.values())
        print(
            f"| {name} | {plain['seconds']:.3f} | {kept['seconds']:.3f} | "
            f"{plain['seconds'] / kept['seconds']:.2f} | {plain['faults']:,.0f} | "
            f"{kept['faults']:,.0f} | {plain['mib']:,.0f} | {kept['mib']:,.0f} |"
        )


if __name__ == "__main__":
    main()
