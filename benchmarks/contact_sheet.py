"""One picture with every corruption at every severity, to be looked at.

python benchmarks/contact_sheet.py sheet.png --mode fast [--image FILE]
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from PIL import Image

from stl_backbones.corruptions import CORRUPTIONS, MODES, SEVERITIES, CorruptionEngine, corrupt_all
from stl_backbones.datasets.street_scenes.scene import render_scene

LABEL = 18  # pixels above each picture


def main() -> None:
    """Draw and save the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="the PNG to write")
    parser.add_argument("--mode", choices=MODES, default="fast")
    parser.add_argument("--image", help="an image file instead of the generated street scene")
    parser.add_argument("--width", type=int, default=256, help="of one picture")
    args = parser.parse_args()
    image = load(args.image, args.width)
    variants = {
        (variant.name, variant.severity): variant.image
        for variant in corrupt_all(image, key="sheet", engine=CorruptionEngine(args.mode))
    }
    rows = [
        np.hstack(
            [labelled(variants[name, severity], f"{name} {severity}") for name in CORRUPTIONS]
        )
        for severity in SEVERITIES
    ]
    Image.fromarray(np.vstack(rows)).save(args.out)


def load(path: str | None, width: int) -> np.ndarray:
    """The picture to corrupt, ``(H, width, 3)`` uint8 RGB."""
    if path is None:
        return render_scene(0, height=width // 2, width=width).image
    with Image.open(path) as opened:
        height = round(opened.height * width / opened.width)
        return np.array(opened.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))


def labelled(image: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text above it."""
    strip = np.full((LABEL, image.shape[1], 3), 255, np.uint8)
    cv2.putText(
        strip, text, (3, LABEL - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
    )
    return np.vstack([strip, image])


if __name__ == "__main__":
    main()
