"""A TensorFlow Lite model of label maps: one method makes it a model of the suite.

Needs ``pip install ai-edge-litert``. DeepLab's files take the whole image at one size, as uint8,
and give a label for each pixel.

    model = LabelMaps("deeplab_cityscapes_quant.tflite")
    stl.evaluate(model, "cityscapes", work_dir="sweeps/deeplab")
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter


class LabelMaps:
    """A file in its interpreter.

    Args:
        path: The file; its hash is the model's version.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = Path(path).stem
        self.version = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        self.interpreter = Interpreter(str(path))
        self.interpreter.allocate_tensors()
        (self.input,), (self.output,) = (
            self.interpreter.get_input_details(), self.interpreter.get_output_details(),
        )  # fmt: skip

    def predict(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """The label map of each image, at its size."""
        return [self._labels(image) for image in images]

    def _labels(self, image: np.ndarray) -> np.ndarray:
        _, height, width, _ = self.input["shape"]
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        self.interpreter.set_tensor(self.input["index"], resized[None].astype(self.input["dtype"]))
        self.interpreter.invoke()
        labels = self.interpreter.get_tensor(self.output["index"]).reshape(height, width)
        size = image.shape[1], image.shape[0]
        return cv2.resize(labels.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
