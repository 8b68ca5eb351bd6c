"""How the outputs of FastestDet become boxes: a decoder of one's own for an ONNX detector.

    stl.evaluate("fastestdet.onnx", ("val.json", "images"), decoder=decode, mean=(0, 0, 0),
                 std=(1, 1, 1), model_channel_order="bgr", work_dir="sweeps/fastestdet")

FastestDet (https://github.com/dog-qiuqiu/FastestDet) has one output ``(1, 5 + K, h, w)``: of each
cell its objectness, a box, and the probabilities of the classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torchvision.ops import batched_nms

from stl_backbones import Detections


def decode(
    outputs: Mapping[str, np.ndarray], input_size: tuple[int, int], image_size: tuple[int, int]
) -> Detections:
    """Boxes in pixels of the image.

    Args:
        outputs: Name -> array, of one image, as the file gives them.
        input_size: Height and width of what the file took; FastestDet's grid does not need it.
        image_size: Height and width of the image.
    """
    del input_size
    (cells,) = outputs.values()
    numbers, rows, columns = cells[0].shape
    objectness, dx, dy, dw, dh, *classes = cells[0].reshape(numbers, -1).astype(np.float64)
    y, x = np.divmod(np.arange(rows * columns), columns)
    centres = np.stack([(np.tanh(dx) + x) / columns, (np.tanh(dy) + y) / rows], axis=1)
    sides = 1 / (1 + np.exp(-np.stack([dw, dh], axis=1)))
    scores = objectness**0.6 * np.max(classes, axis=0) ** 0.4
    labels = np.argmax(classes, axis=0)

    height, width = image_size
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    boxes = boxes.clip(0, 1) * (width, height, width, height)
    boxes, scores, labels = (values[scores > 0.05] for values in (boxes, scores, labels))
    tensors = (torch.from_numpy(values) for values in (boxes, scores, labels))
    kept = batched_nms(*tensors, iou_threshold=0.45).numpy()
    return Detections(boxes[kept], scores[kept], labels[kept])
