"""Score a model on clean and corrupted images, cell by cell.

Finished cells are kept: the same command goes on where a killed one stopped.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stl_backbones.apis.cli import (
    add_custom_imports,
    add_run_options,
    is_main_process,
    make_parser,
    parse_options,
    run_tool,
)
from stl_backbones.corruptions import COMPATS, MODES, PROTOCOLS, import_modules

if TYPE_CHECKING:
    from stl_backbones.apis.sweep import SweepProgress


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config file; its test_dataloader names the data")
    parser.add_argument("checkpoint", help="checkpoint of the config's model")
    add = parser.add_argument
    add("--protocol", default="stl-cityscapes-c", metavar="NAME",
        help=f"one of {', '.join(PROTOCOLS)}, or one of your own")  # fmt: skip
    add("--corruptions", nargs="+", metavar="NAME", help="only these of the protocol")
    add("--severities", nargs="+", type=int, metavar="N", help="only these severities, 1 to 5")
    add("--limit", type=int, metavar="N", help="only the first N images; tables will say so")
    add("--corrupted-root", metavar="DIR", help="read DIR/<corruption>/<severity>/<image> "
        "instead of corrupting on the fly; how it was made is read from its manifest")  # fmt: skip
    add("--mode", choices=MODES, help="corruption engine: exact, the package's numbers; fast, the "
        "same in distribution; reference, the package itself; torch, on the model's device "
        "(default: exact for protocols with published numbers, fast for 'all' and "
        "your own)")  # fmt: skip
    add("--compat", choices=COMPATS, default=COMPATS[0], help="package that --mode exact repeats")
    add("--channel-order", default="rgb", help="what the corruption sees; 'bgr' repeats numbers of "
        "scripts that feed it BGR")  # fmt: skip
    add("--seed", type=int, default=0, help="another seed, another draw of the benchmark")
    add("--name", help="the model's name in tables; default: the config's name")
    add("--workers", type=int, default=1, help="processes that load and corrupt ahead")
    add_custom_imports(parser)
    add_run_options(parser)
    return parser


def robustness(args: argparse.Namespace) -> None:
    """Run the sweep."""
    from stl_backbones.apis.sweep import SweepOptions, sweep
    from stl_backbones.apis.train import default_work_dir

    import_modules(args.custom_imports)
    chosen = {name: getattr(args, name) for name in SweepOptions.__dataclass_fields__}
    folder = sweep(
        args.config,
        args.checkpoint,
        work_dir=args.work_dir or default_work_dir(args.config) / "robustness",
        sweep_options=SweepOptions(**chosen),
        options=parse_options(args.cfg_options),
        launcher=args.launcher,
        progress=show,
    )
    if is_main_process():
        print(f"cells: {folder}\nnext: python tools/report.py {folder}")


def show(progress: SweepProgress) -> None:
    """Print a line for a finished cell."""
    minutes, seconds = divmod(round(progress.remaining), 60)
    took = f"{progress.seconds:6.1f} s" if progress.seconds else "   there"
    print(
        f"[{progress.done:3d}/{progress.total}] {progress.cell.name:<20} "
        f"mIoU {100 * progress.score:5.1f}  {took}  ETA {minutes}:{seconds:02d}",
        flush=True,
    )


if __name__ == "__main__":
    kept = "finished cells are kept, the same command goes on"
    raise SystemExit(run_tool(parse(), robustness, after_interrupt=kept))
