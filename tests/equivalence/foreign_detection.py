"""A detector and parts of a user's own, as configs of mmdet name them."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from PIL import Image

COLOURS = np.array([[220, 20, 60], [0, 90, 220], [40, 200, 40]])  # RGB, of each class
ALIKE = 0.85  # cosine between the hues of a pixel and of a class
STRONG = 0.4  # saturation, of the image's largest


@MODELS.register_module()
class ColourDetector(BaseDetector):
    """Finds connected pixels of a class's hue; noise splits, moves and hides things.

    Args:
        num_classes: Classes; labels of more than three are the first ones.
        with_masks: Predict masks too.
        own_mask_scores: Masks have scores of their own.
        extra: So many more boxes of the first class, drawn from the image's content.
    """

    def __init__(self, num_classes=3, with_masks=False, own_mask_scores=False, extra=0):
        super().__init__(
            data_preprocessor={
                "type": "mmdet.DetDataPreprocessor",
                "mean": [0.0] * 3,
                "std": [1.0] * 3,
                "bgr_to_rgb": True,
            }
        )
        self.bbox_head = torch.nn.Linear(1, 1)
        self.bbox_head.num_classes = num_classes
        self.with_masks, self.own_mask_scores = with_masks, own_mask_scores
        self.extra = extra

    def predict(self, inputs, samples, rescale=True):
        for image, sample in zip(inputs, samples, strict=True):
            sample.pred_instances = self.find(image, sample)
        return samples

    def find(self, image, sample):
        height, width = sample.img_shape[:2]  # the rest is padding
        rgb = image[:, :height, :width].permute(1, 2, 0).numpy().astype(np.float64)
        hue = rgb - rgb.mean(axis=2, keepdims=True)
        length = np.linalg.norm(hue, axis=2)
        boxes, scores, labels, masks = [], [], [], []
        for label, colour in enumerate(COLOURS):
            own = (colour - colour.mean()) / np.linalg.norm(colour - colour.mean())
            alike = (hue @ own > ALIKE * length) & (length > STRONG * np.percentile(length, 99))
            count, parts, stats, _ = cv2.connectedComponentsWithStats(alike.astype(np.uint8))
            for part in range(1, count):
                left, top, wide, high, area = stats[part]
                if area >= 4:
                    boxes.append([left, top, left + wide, top + high])
                    scores.append(round(area / (wide * high), 1))  # many are equal
                    labels.append(label)
                    masks.append(parts == part)
        for number in range(self.extra):
            value = int(rgb.sum()) % 97 + number * 7
            left, top = value % (width - 12), value % (height - 12)
            boxes.append([left, top, left + 12 + number % 5, top + 10])
            scores.append(0.5 - number / 1000)
            labels.append(0)
            masks.append(np.zeros((height, width), bool))
        found = InstanceData()
        ratios = np.array([*sample.scale_factor, *sample.scale_factor])
        found.bboxes = torch.tensor(
            np.array(boxes, np.float64).reshape(-1, 4) / ratios, dtype=torch.float32
        )
        found.scores = torch.tensor(scores, dtype=torch.float32)
        found.labels = torch.tensor(labels, dtype=torch.long)
        if self.with_masks:
            size = sample.ori_shape[:2][::-1]
            whole = [cv2.resize(mask.astype(np.uint8), size) for mask in masks]
            found.masks = torch.tensor(
                np.array(whole, np.uint8).reshape(-1, *sample.ori_shape[:2]), dtype=torch.bool
            )
            if self.own_mask_scores:
                found.mask_scores = 1 - found.scores / 2
        return found

    def loss(self, *args): ...
    def extract_feat(self, *args): ...
    def _forward(self, *args): ...


@TRANSFORMS.register_module()
class ReadPicture(BaseTransform):
    """Reads the image with Pillow."""

    def transform(self, results):
        rgb = np.array(Image.open(results["img_path"]).convert("RGB"))
        image, size = np.ascontiguousarray(rgb[..., ::-1]), rgb.shape[:2]
        return {**results, "img": image, "img_shape": size, "ori_shape": size}


@TRANSFORMS.register_module()
class ToDetectionSample(BaseTransform):
    """Packs the image and what the detector reads."""

    def transform(self, results):
        sample = DetDataSample()
        names = ("img_id", "ori_shape", "img_shape", "scale_factor")
        sample.set_metainfo({name: results[name] for name in names})
        image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image), "data_samples": sample}
