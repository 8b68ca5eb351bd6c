"""Count the values in which exact mode differs from the imagecorruptions package: none should.

    python benchmarks/exactness.py                           # generated pictures, about 3 minutes
    python benchmarks/exactness.py --images DIR --limit 20   # and real ones

Every corruption, every severity, two seeds; prints a line per picture and exits with 1 if a value
differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stl_backbones.corruptions import CORRUPTIONS, CorruptionEngine, corrupt_all, engine_version
from stl_backbones.corruptions.reference import package_version
from stl_backbones.datasets.street_scenes.scene import render_scene


def main() -> int:
    """Compare, picture by picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", metavar="DIR", help="a folder of image files, searched")
    parser.add_argument("--limit", type=int, default=20, help="files, spread over the folder")
    parser.add_argument("--names", nargs="+", default=CORRUPTIONS, metavar="NAME")
    args = parser.parse_args()
    print(f"{engine_version(CorruptionEngine('exact'))} beside {package_version()}")
    compared = different = 0
    for label, image in pictures(args.images, args.limit):
        values, differing = compare(image, args.names)
        compared += values
        different += differing
        print(f"{label}: {values:,} values, {differing} differ", flush=True)
    print(f"together {compared:,} values, {different} differ")
    return int(different > 0)


def compare(image: np.ndarray, names: list[str]) -> tuple[int, int]:
    """Values compared and values that differ."""
    compared = different = 0
    for seed in (0, 1):
        ours, theirs = (
            corrupt_all(image, names, key="picture", engine=CorruptionEngine(mode, seed=seed))
            for mode in ("exact", "reference")
        )
        for mine, package in zip(ours, theirs, strict=True):
            compared += mine.image.size
            different += int(np.count_nonzero(mine.image != package.image))
    return compared, different


def pictures(folder: str | None, limit: int) -> Iterator[tuple[str, np.ndarray]]:
    """Made up ones with flat, saturated and noisy parts, and files of a folder."""
    rng = np.random.default_rng(0)
    scene = render_scene(0, height=256, width=512).image
    yield "street scene", scene
    for height, width in ((32, 32), (33, 47), (97, 131), (300, 47), (64, 511)):
        yield f"part of {width}x{height}", np.ascontiguousarray(scene[:height, -width:])
    for level in (0, 1, 119, 254, 255):
        yield f"level {level}", np.full((61, 83, 3), level, np.uint8)
    yield "noise", rng.integers(0, 256, (128, 160, 3), dtype=np.uint8)
    yield "black and white", np.where(scene[:160, :200] > 128, 255, 0).astype(np.uint8)
    sky = scene[:200, :300].copy()
    sky[:120] = 255
    yield "white sky", sky
    yield (
        "steps",
        np.repeat(np.arange(0, 256, 4, dtype=np.uint8), 3)[None, :, None]
        .repeat(96, 0)
        .repeat(3, 2),
    )
    if folder is not None:
        suffixes = {".png", ".jpg", ".jpeg"}
        files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in suffixes)
        for path in files[:: max(len(files) // limit, 1)][:limit]:
            with Image.open(path) as opened:
                yield path.name, np.array(opened.convert("RGB"))


if __name__ == "__main__":
    raise SystemExit(main())
