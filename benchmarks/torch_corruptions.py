"""Images per second of the torch corruptions on a device, beside mode 'fast' on all cores.

    python benchmarks/torch_corruptions.py --device cuda

Prints one Markdown table per size. Pictures are generated, already on the device for torch and in
memory for 'fast'; nothing is read, copied to the device or written.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch

from stl_backbones.corruptions import MIN_SIDE, corrupt, prepare
from stl_backbones.corruptions.torch_backend import PARALLEL, corrupt_batch


def main() -> None:
    """Time every corruption at every size."""
    args = _parse()
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"torch {torch.__version__} on {name}, {torch.get_num_threads()} threads; ", end="")
    print(f"mode 'fast' on {args.cores} threads; severities {args.severities}")
    cv2.setNumThreads(1)
    prepare(args.names, mode="fast")
    for width, height in args.sizes:
        batch = max(1, args.pixels // (width * height))
        print(f"\n{width}x{height}, batches of {batch}\n")
        print("| corruption | torch, images/s | fast, images/s | torch / fast |")
        print("|---|---:|---:|---:|")
        images = np.stack([_picture(height, width, seed) for seed in range(batch)])
        _print_rows(images, device, args)


def _print_rows(images: np.ndarray, device: torch.device, args: argparse.Namespace) -> None:
    on_device = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).contiguous()
    torch_total = fast_total = 0.0
    with ThreadPoolExecutor(args.cores) as pool:
        for name in args.names:
            cells = [(name, severity) for severity in args.severities]
            ours = sum(_torch_seconds(on_device, cell, args.repeats) for cell in cells)
            theirs = sum(_fast_seconds(images, cell, args, pool) for cell in cells)
            _print_row(name, len(cells), ours, theirs)
            torch_total += ours
            fast_total += theirs
    _print_row("all, in turn", len(args.names) * len(args.severities), torch_total, fast_total)


def _print_row(name: str, cells: int, ours: float, theirs: float) -> None:
    print(
        f"| {name} | {cells / ours:.1f} | {cells / theirs:.1f} | {theirs / ours:.2f} |", flush=True
    )


def _torch_seconds(images: torch.Tensor, cell: tuple[str, int], repeats: int) -> float:
    """Seconds per image."""

    def run() -> None:
        corrupt_batch(images, *cell, seeds=range(len(images)))
        if images.is_cuda:
            torch.cuda.synchronize(images.device)

    return _seconds(run, repeats) / len(images)


def _fast_seconds(
    images: np.ndarray, cell: tuple[str, int], args: argparse.Namespace, pool: ThreadPoolExecutor
) -> float:
    """Seconds per image, with work for every core."""
    count = max(len(images), 2 * args.cores)

    def one(index: int) -> None:
        corrupt(images[index % len(images)], *cell, key=str(index), mode="fast")

    return _seconds(lambda: list(pool.map(one, range(count))), args.repeats) / count


def _seconds(run: Callable[[], object], repeats: int) -> float:
    """The median time of a run, after one that fills caches and compiles."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _picture(height: int, width: int, seed: int) -> np.ndarray:
    """Noise at several scales, ``(H, W, 3)`` uint8."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((side, side, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for side in (4, 16, 64)
    ]
    return (np.mean(layers, axis=0) * 255).clip(0, 255).astype(np.uint8)


def _size(word: str) -> tuple[int, int]:
    width, _, height = word.partition("x")
    size = int(width), int(height or width)
    if min(size) < MIN_SIDE:
        raise argparse.ArgumentTypeError(f"sides must be at least {MIN_SIDE}, got {word}")
    return size


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="of torch"
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of mode 'fast'")
    parser.add_argument(
        "--sizes", nargs="+", type=_size, default=[(2048, 1024), (224, 224)], metavar="WxH"
    )
    parser.add_argument(
        "--pixels", type=int, default=8 * 2048 * 1024, help="of a batch, at most (8 x 2048 x 1024)"
    )
    parser.add_argument("--names", nargs="+", default=list(PARALLEL), choices=PARALLEL)
    parser.add_argument("--severities", nargs="+", type=int, default=[1, 3, 5])
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
