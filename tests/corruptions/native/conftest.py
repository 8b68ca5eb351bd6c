"""Pictures with everything that rounding finds hard: flat, saturated, noisy and odd-sized parts."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.datasets.street_scenes.scene import render_scene


@pytest.fixture(scope="session")
def pictures():
    rng = np.random.default_rng(0)
    scene = render_scene(0, height=128, width=192).image
    sky = scene[:100, :150].copy()
    sky[:60] = 255
    sky[60:80, :70] = (90, 91, 92)
    steps = np.repeat(np.arange(0, 256, 4, dtype=np.uint8), 2)[None, :, None]
    return {
        "scene": scene[20:117, 30:161],
        "smallest": scene[60:92, 60:92],
        "tall": scene[:, 60:107],
        "black": np.zeros((40, 64, 3), np.uint8),
        "white": np.full((64, 41, 3), 255, np.uint8),
        "grey": np.full((50, 53, 3), 119, np.uint8),
        "noise": rng.integers(0, 256, (128, 160, 3), dtype=np.uint8),
        "sky": sky,
        "steps": steps.repeat(45, 0).repeat(3, 2),
        "black and white": np.where(scene[:90, :110] > 128, 255, 0).astype(np.uint8),
    }
