"""Write Cityscapes-C: ours, with one worker and more, against the authors' way.

The authors' way is one process that, for each corruption and severity, reads an image, calls the
imagecorruptions package and writes a PNG with OpenCV's default settings. Every row is one run, the
start of the workers included, with one thread per process; ratios compare rows of one run of this
script. Without --source street scenes are drawn; photographs are a little slower to encode.

  OMP_NUM_THREADS=1 python benchmarks/generation.py --images 8
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from isal import isal_zlib

from stl_backbones.copies import Plan, png
from stl_backbones.copies.png import encode_png
from stl_backbones.copies.request import GenerateOptions, make_copy, plan_copy
from stl_backbones.corruptions import CorruptionEngine, corrupt
from stl_backbones.datasets.mini import write_mini_data

PNG_CELLS = (
    ("gaussian_noise", 2), ("motion_blur", 3), ("fog", 3), ("snow", 3), ("jpeg_compression", 3),
    ("brightness", 3),
)  # fmt: skip


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--source", type=Path, help="a data set in Cityscapes' layout; its val images are resized")
    add("--size", default="2048x1024", metavar="WxH", help="of the images")
    add("--images", type=int, default=4, help="images that we write")
    add("--authors-images", type=int, default=1, help="images that the authors' way writes")
    add("--workers", type=int, nargs="+", default=[1, 2], help="rows to measure")
    add("--modes", nargs="+", default=["exact", "fast"], help="engines to measure")
    add("--corruptions", nargs="+", help="only these")
    return parser


def main() -> None:
    """Measure, and print two tables."""
    args = parse().parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="generation-") as folder:
        root = Path(folder)
        width, height = (int(side) for side in args.size.split("x"))
        source = make_source(root / "clean", args.source, args.images, width, height)
        show_encoders(next((source / "leftImg8bit/val").rglob("*.png")))
        show_generation(args, source, root)


def make_source(out: Path, source: Path | None, images: int, width: int, height: int) -> Path:
    """Write the clean images: drawn, or photographs resized."""
    if source is None:
        write_mini_data(out, num_train=1, num_val=images, height=height, width=width)
        return out / "cityscapes"
    found = sorted((source / "leftImg8bit/val").rglob("*.png"))[:images]
    for number, path in enumerate(found):
        image = cv2.resize(cv2.imread(str(path)), (width, height), interpolation=cv2.INTER_CUBIC)
        target = out / f"leftImg8bit/val/city/{number:04d}_leftImg8bit.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), image)
    return out


def show_encoders(path: Path) -> None:
    """Print milliseconds and bytes of PNG encoders, each on the same corrupted images."""
    clean = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    images = [corrupt(clean, *cell, key=path.name, mode="fast") for cell in PNG_CELLS]
    print(f"PNG of {clean.shape[1]}x{clean.shape[0]}, mean of {len(images)} corrupted images\n")
    print("| encoder | ms | MB | time | size |\n|---|---|---|---|---|")
    base: tuple[float, float] | None = None
    for name, encode in encoders():
        seconds, size = zip(*(time_encoder(encode, image) for image in images), strict=True)
        row = float(np.mean(seconds)), float(np.mean(size))
        base = base or row
        print(
            f"| {name} | {1e3 * row[0]:.0f} | {row[1] / 1e6:.2f} | "
            f"{row[0] / base[0]:.2f} | {row[1] / base[1]:.2f} |", flush=True,
        )  # fmt: skip


def encoders() -> Iterator[tuple[str, Callable[[np.ndarray], bytes]]]:
    """Name and function of each encoder; the first is what others are compared with."""
    level, strategy, kind = (
        cv2.IMWRITE_PNG_COMPRESSION, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_FILTER,
    )  # fmt: skip
    rle, paeth = cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER_PAETH
    settings: dict[str, tuple[int, ...]] = {
        "OpenCV, default (Sub filter, runs)": (),
        "OpenCV, level 1": (level, 1),
        "OpenCV, level 6": (level, 6),
        "OpenCV, level 1, runs, Paeth filter": (level, 1, strategy, rle, kind, paeth),
        "OpenCV, level 0 (stored)": (level, 0),
    }
    for name, words in settings.items():
        yield (
            name,
            lambda image, words=words: (  # type: ignore[misc]
                cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), words)[1].tobytes()
            ),
        )
    yield from other_encoders()
    yield "ours: our filter, isal level 1", encode_png


def other_encoders() -> Iterator[tuple[str, Callable[[np.ndarray], bytes]]]:
    """Fast packages of PyPI that are installed: zlib-ng, deflate, fpng, imagecodecs."""
    for level in (0, 2):
        yield f"our filter, isal level {level}", packed_by(isal_zlib.compress, level)
    with contextlib.suppress(ImportError):
        from zlib_ng import zlib_ng

        for level in (1, 2):
            yield f"our filter, zlib-ng level {level}", packed_by(zlib_ng.compress, level)
    with contextlib.suppress(ImportError):
        import deflate

        for level in (1, 2):
            yield f"our filter, libdeflate level {level}", packed_by(deflate.zlib_compress, level)
    with contextlib.suppress(ImportError):
        import fpng

        yield "fpng", lambda image: bytes(fpng.from_ndarray(image))
    with contextlib.suppress(ImportError):
        import imagecodecs

        yield "imagecodecs, spng, level 1", lambda image: imagecodecs.spng_encode(image, level=1)


def packed_by(compress: Callable[..., bytes], level: int) -> Callable[[np.ndarray], bytes]:
    """An encoder with our filter and another package's deflate."""

    def encode(image: np.ndarray) -> bytes:
        height, width, _ = image.shape
        filtered = np.empty((height, 1 + 3 * width), np.uint8)
        png._filter(image.reshape(height, 3 * width), filtered)
        header = struct.pack(">II5B", width, height, *png._RGB8)
        chunks = (b"IHDR", header), (b"IDAT", bytes(compress(filtered.data, level))), (b"IEND", b"")
        return png._START + b"".join(png._chunk(*chunk) for chunk in chunks)

    return encode


def time_encoder(encode: Callable[[np.ndarray], bytes], image: np.ndarray) -> tuple[float, int]:
    """Seconds (the better of three) and bytes."""
    content, times = b"", []
    for _ in range(3):
        start = time.perf_counter()
        content = encode(image)
        times.append(time.perf_counter() - start)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded[..., ::-1], image)
    return min(times), len(content)


def show_generation(args: argparse.Namespace, source: Path, root: Path) -> None:
    """Print files per second of each way."""
    options = {"layout": "cityscapes", "corruptions": args.corruptions}
    plan = plan_copy(source, root / "x", GenerateOptions(**options, limit=args.authors_images))
    print(f"\n{len(plan.cells)} cells of stl-cityscapes-c, images of {args.size}\n")
    print("| way | workers | files | seconds | files/s | speed | MB per file |")
    print("|---|---|---|---|---|---|---|")
    seconds = timed(lambda: write_as_authors(plan, root / "authors"))
    base = show_row("authors' (package, OpenCV default PNG)", 1, root / "authors", seconds)
    for mode, workers in itertools.product(args.modes, args.workers):
        out = root / f"{mode}-{workers}"
        plan = plan_copy(source, out, GenerateOptions(**options, engine=CorruptionEngine(mode)))
        seconds = timed(lambda: make_copy(plan, out, workers=workers))  # noqa: B023  called at once
        show_row(f"ours, {mode}", workers, out, seconds, base=base)


def write_as_authors(plan: Plan, out: Path) -> None:
    """One image at a time: read, the package, OpenCV's PNG."""
    for cell in plan.cells:
        for source in plan.sources:
            image = cv2.cvtColor(cv2.imread(str(source.path)), cv2.COLOR_BGR2RGB)
            shown = corrupt(image, cell.corruption, cell.severity, key=source.id, mode="reference")
            path = out / cell.corruption / str(cell.severity) / source.target
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))


def timed(run: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def show_row(
    way: str, workers: int, out: Path, seconds: float, *, base: float | None = None
) -> float:
    """Print a row; returns the files per second."""
    sizes = [path.stat().st_size for path in images(out.rglob("*.png"))]
    rate = len(sizes) / seconds
    speed = rate / base if base else 1.0
    print(
        f"| {way} | {workers} | {len(sizes)} | {seconds:.1f} | {rate:.2f} | {speed:.1f}x | "
        f"{np.mean(sizes) / 1e6:.2f} |", flush=True,
    )  # fmt: skip
    return rate


def images(paths: Iterable[Path]) -> Iterator[Path]:
    """Leave out files that are not whole yet."""
    return (path for path in paths if not path.name.startswith("."))


if __name__ == "__main__":
    main()
