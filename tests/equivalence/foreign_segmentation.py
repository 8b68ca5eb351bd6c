"""Parts of a user's own, as configs of mmseg name them: none is called like one of the library."""

from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.model import BaseModule
from mmengine.registry import DATA_SAMPLERS
from mmengine.structures import PixelData
from mmseg.datasets import BaseSegDataset
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from PIL import Image

RAW_IDS = np.array([7, 11, 26, 33], np.uint8)  # label files of `ReadRawIds` hold these
COLOURS = np.array([[128, 64, 128], [70, 70, 70], [0, 0, 142], [119, 11, 32]], np.uint8)


@MODELS.register_module()
class ColourBackbone(BaseModule):
    """Looks at colours, each image against itself: random weights predict all classes."""

    def __init__(self, in_channels=3, channels=8):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)

    def forward(self, image):
        return (torch.tanh(torch.nn.functional.instance_norm(self.conv(image))),)


class Reader(BaseTransform):
    """Reads the image in a way of its own."""

    def transform(self, results):
        image = self.read(results["img_path"])
        return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}


@TRANSFORMS.register_module()
class ReadWithPillow(Reader):
    def read(self, path):
        return np.ascontiguousarray(np.array(Image.open(path).convert("RGB"))[..., ::-1])


@TRANSFORMS.register_module()
class ReadAsRGB(Reader):
    def read(self, path):
        return np.array(Image.open(path).convert("RGB"))


@TRANSFORMS.register_module()
class ReadAsFloat(Reader):
    def read(self, path):
        return cv2.imread(path).astype(np.float32)


@TRANSFORMS.register_module()
class ReadAsFraction(Reader):
    def read(self, path):
        return cv2.imread(path).astype(np.float32) / 255


@TRANSFORMS.register_module()
class ReadFourChannels(Reader):
    def read(self, path):
        image = cv2.imread(path)
        return np.dstack([image, image.max(axis=2)])


@TRANSFORMS.register_module()
class ReadUpperHalf(Reader):
    def read(self, path):
        image = cv2.imread(path)
        return image[: len(image) // 2]


@TRANSFORMS.register_module()
class KeepUpperHalf(BaseTransform):
    """The label map's half, for `ReadUpperHalf`."""

    def transform(self, results):
        label = results["gt_seg_map"]
        return {**results, "gt_seg_map": label[: len(label) // 2]}


@TRANSFORMS.register_module()
class ReadTwice(LoadImageFromFile):
    """A loader whose image is not the file's: darker."""

    def transform(self, results):
        results = super().transform(results)
        return {**results, "img": results["img"] // 2}


@TRANSFORMS.register_module()
class ReadRawIds(BaseTransform):
    """Label files with ids of their own; what is not among them is ignored."""

    def transform(self, results):
        raw = cv2.imread(results["seg_map_path"], cv2.IMREAD_UNCHANGED)
        label = np.full(raw.shape, 255, np.uint8)
        for index, number in enumerate(RAW_IDS):
            label[raw == number] = index
        return {**results, "gt_seg_map": label}


@TRANSFORMS.register_module()
class ReadColours(BaseTransform):
    """Label files that show each class in its colour."""

    def transform(self, results):
        rgb = np.array(Image.open(results["seg_map_path"]).convert("RGB"))
        label = np.full(rgb.shape[:2], 255, np.uint8)
        for index, colour in enumerate(COLOURS):
            label[(rgb == colour).all(axis=2)] = index
        return {**results, "gt_seg_map": label}


@TRANSFORMS.register_module()
class ReadMasks(BaseTransform):
    """Masks of 0 and 255."""

    def transform(self, results):
        mask = cv2.imread(results["seg_map_path"], cv2.IMREAD_GRAYSCALE)
        return {**results, "gt_seg_map": (mask > 127).astype(np.uint8)}


@TRANSFORMS.register_module()
class ToSample(BaseTransform):
    """Packs, and moves the labels on by one class meanwhile."""

    def transform(self, results):
        label = results["gt_seg_map"].astype(np.int64)
        label = np.where(label == 255, 255, (label + 1) % 4)
        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(label[None])))
        sample.set_metainfo({name: results[name] for name in ("ori_shape", "img_shape")})
        image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image), "data_samples": sample}


@TRANSFORMS.register_module()
class PhotoSteps(BaseTransform):
    """A wrapper as `Albu` is: its steps are of another library, and it builds them itself."""

    def __init__(self, transforms):
        self.steps = [(step["type"], step["by"]) for step in transforms]

    def transform(self, results):
        image = results["img"].astype(np.int64)
        for kind, by in self.steps:
            image = image + by if kind == "Brighten" else image * by // 100
        return {**results, "img": image.clip(0, 255).astype(np.uint8)}


@TRANSFORMS.register_module()
class ReadPicture(BaseTransform):
    """For items that do not call the image's file ``img_path``."""

    def transform(self, results):
        image = cv2.imread(results["picture"])
        return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}


@TRANSFORMS.register_module()
class ReadWithNear(Reader):
    """Reads a near infrared image beside the image."""

    def read(self, path):
        near = cv2.imread(path.replace("/img/", "/near/"), cv2.IMREAD_GRAYSCALE)
        return np.dstack([cv2.imread(path), near])


@TRANSFORMS.register_module()
class BlendWithFile(BaseTransform):
    """Reads the image's file once more."""

    def transform(self, results):
        image = results["img"] // 2 + cv2.imread(results["img_path"])[::-1] // 2
        return {**results, "img": image}


@DATASETS.register_module()
class LoadsByItself(BaseSegDataset):
    """Items hold the image."""

    def get_data_info(self, idx):
        info = super().get_data_info(idx)
        image = cv2.imread(info["img_path"])
        return {**info, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}


@DATASETS.register_module()
class CallsItPicture(BaseSegDataset):
    def load_data_list(self):
        items = super().load_data_list()
        for item in items:
            item["picture"] = item.pop("img_path")
        return items


@DATASETS.register_module()
class WithoutPipeline(torch.utils.data.Dataset):
    """Reads and packs by itself."""

    METAINFO = BaseSegDataset.METAINFO

    def __init__(self, **settings):
        self.inner = BaseSegDataset(**settings)
        self.metainfo = self.inner.metainfo

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        return self.inner[index]


@DATA_SAMPLERS.register_module()
class EveryOther(torch.utils.data.Sampler):
    """Every second item."""

    def __init__(self, dataset, seed=None):
        self.count = len(dataset)

    def __iter__(self):
        return iter(range(0, self.count, 2))

    def __len__(self):
        return (self.count + 1) // 2


@DATASETS.register_module()
class RenumberedAfterwards(BaseSegDataset):
    """Swaps classes 0 and 1 of what the pipeline packed."""

    def prepare_data(self, idx):
        packed = super().prepare_data(idx)
        label = packed["data_samples"].gt_sem_seg.data
        swapped = torch.where(label <= 1, 1 - label, label)
        packed["data_samples"].gt_sem_seg = PixelData(data=swapped)
        return packed


@DATASETS.register_module()
class RenumberedBefore(BaseSegDataset):
    """Tells the pipeline how to renumber."""

    def prepare_data(self, idx):
        info = self.get_data_info(idx)
        info["label_map"] = {0: 2, 2: 0, 3: 255}
        return self.pipeline(info)


@DATASETS.register_module()
class ListedInCSV(BaseSegDataset):
    """Lists its images itself."""

    def load_data_list(self):
        rows = [line.split(",") for line in Path(self.data_root, "list.csv").read_text().split()]
        return [
            {
                "img_path": f"{self.data_root}/{image}",
                "seg_map_path": f"{self.data_root}/{label}",
                "label_map": None,
                "reduce_zero_label": False,
                "seg_fields": [],
            }
            for image, label in rows
        ]


@METRICS.register_module()
class IoUAsTheDataSay(IoUMetric):
    """Ignores what the data set says."""

    def process(self, data_batch, data_samples):
        self.ignore_index = self.dataset_meta["ignore_index"]
        super().process(data_batch, data_samples)
