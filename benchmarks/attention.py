"""Training steps of FAN on the CPU: attention by products of matrices against torch's kernel.

    OMP_NUM_THREADS=1 python benchmarks/attention.py

Forward and backward pass in bfloat16, both forms in turn, the median of the turns of each. The
networks choose by the number of tokens, see `stl_backbones.models.layers`.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.models import FAN, get_variant, layers

CASES = (("mini_vit", 32, 100), ("tiny_hybrid", 224, 4), ("tiny_hybrid", 512, 1))
FORMS = {"products": 10**9, "kernel": 0}  # up to how many tokens are products taken


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="steps of each form")
    return parser


def main(args: argparse.Namespace) -> None:
    """Print a row for each case."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {args.turns} turns")
    print("| network | px | tokens | kernel, s | products, s | kernel / products |")
    print("|---|--:|--:|--:|--:|--:|")
    for arch, side, batch in CASES:
        network, images = FAN(get_variant(arch), num_classes=10), torch.rand(batch, 3, side, side)
        seconds: dict[str, list[float]] = {form: [] for form in FORMS}
        for turn in range(1 + args.turns):
            for form, most in FORMS.items():
                layers._FEW_TOKENS = most
                begun = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16):
                    logits = network(images)
                logits.float().square().mean().backward()
                network.zero_grad()
                if turn:  # the first warms up
                    seconds[form].append(time.perf_counter() - begun)
        kernel, products = (statistics.median(seconds[form]) for form in ("kernel", "products"))
        rows, columns = network.token_grid(images)
        print(
            f"| {arch} | {side} | {rows * columns} | {kernel:.3f} | {products:.3f} "
            f"| {kernel / products:.2f} |"
        )


if __name__ == "__main__":
    raise SystemExit(run_tool(parse(), main))
