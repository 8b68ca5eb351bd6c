"""jpeg_compression and pixelate: the same in every mode."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
from PIL import Image as Pillow

from stl_backbones.corruptions.native.arrays import Image
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.parameters import Jpeg


def jpeg_compression(image: Image, jpeg: Jpeg, draws: Draws) -> Image:
    """Through a JPEG file and back: Pillow writes, OpenCV reads the same pixels, copying less."""
    file = BytesIO()
    Pillow.fromarray(image).save(file, "JPEG", quality=jpeg.quality)
    decoded = cv2.imdecode(np.frombuffer(file.getbuffer(), np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(decoded, dtype=np.uint8)


def pixelate(image: Image, share: float, draws: Draws) -> Image:
    """Made small by averaging, and large again by repeating."""
    height, width = image.shape[:2]
    small_size = int(width * share), int(height * share)
    small = Pillow.fromarray(image).resize(small_size, Pillow.Resampling.BOX)
    return np.array(small.resize((width, height), Pillow.Resampling.NEAREST))
