"""The comparison rows of the paper's Tables 4 and 5: configs of mmseg, mmdet and our own.

The paper quotes these rows and names no files. Where a library holds several trainings of a
network, the one whose published clean score is nearest to the row's was taken. What the library
released for a config (weights, score) stays in its metafile, see
`stl_backbones.config.packaged.find_release`. Where no library has a config of the row's network on
the row's data, it is one of ours, whose weights are to be trained.

References:
    Zhao et al. 2023 (STL), Tables 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

OWN = "stl_backbones::"
_OWN_SEGMENTATION = f"{OWN}seg/"


@dataclass(frozen=True)
class MMPreset:
    """A row of the paper's Table 4 (segmentation) or 5 (detection).

    Attributes:
        name: The name used on the command line.
        title: The row's name in the table.
        config: The config, of the library or ours, whose weights come nearest to the row.
        paper_score: The row's clean score: mIoU or box AP, percent.
        note: How the config's training differs from the row's, where that is known.
        training: Our config that trains the row by its recipe; empty if that is ``config``.
    """

    name: str
    title: str
    config: str
    paper_score: float
    note: str = ""
    training: str = ""

    @property
    def table(self) -> int:
        """The table's number."""
        return 4 if self.config.startswith(("mmseg::", _OWN_SEGMENTATION)) else 5

    @property
    def metric(self) -> str:
        """The score's name in the library's metafiles."""
        return "mIoU" if self.table == 4 else "box AP"


_DECODER = "the row does not name its decoder"
_PLAIN_CASCADE = "box heads of two linear layers, smooth L1, SGD; the row follows Swin's recipe"


def _segmentation(name: str, title: str, file: str, score: float, note: str = "") -> MMPreset:
    return MMPreset(name, title, f"mmseg::{file}.py", score, note)


def _cascade(
    name: str, title: str, file: str, score: float, note: str = "", *, ours: str = ""
) -> MMPreset:
    """A row of Table 5.

    Args:
        name: Of the preset, without ``cascade-``.
        title: The row's.
        file: The config of mmdet whose weights come nearest; empty: our own.
        score: The row's box AP.
        note: As of `MMPreset`.
        ours: How the name of our own config begins.
    """
    own = f"{OWN}det/{ours}_cascade_mask_rcnn_coco.py"
    if not file:
        return MMPreset(f"cascade-{name}", title, own, score, note)
    return MMPreset(f"cascade-{name}", title, f"mmdet::{file}.py", score, note, own)


def _own_segmentation(name: str, title: str, file: str, score: float, note: str = "") -> MMPreset:
    return MMPreset(name, title, f"{_OWN_SEGMENTATION}{file}_cityscapes.py", score, note)


def _convnext(size: str) -> str:
    return f"convnext/cascade-mask-rcnn_convnext-{size}-p4-w7_fpn_4conv1fc-giou_amp-ms-crop-3x_coco"


MM_PRESETS: Mapping[str, MMPreset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            *(
                _segmentation(
                    f"deeplabv3plus-r{depth}",
                    f"DeepLabv3+ (R{depth})",
                    f"deeplabv3plus/deeplabv3plus_r{depth}-d8_4xb2-40k_cityscapes-769x769",
                    score,
                )
                for depth, score in ((50, 76.6), (101, 77.1))
            ),
            _segmentation(
                "icnet", "ICNet", "icnet/icnet_r50-d8_4xb2-80k_cityscapes-832x832", 65.9
            ),
            _segmentation(
                "pspnet", "PSPNet", "pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024", 78.8,
                "the row does not name its backbone",
            ),
            *(
                _segmentation(
                    f"segformer-b{size}",
                    f"SegFormer-B{size}",
                    f"segformer/segformer_mit-b{size}_8xb1-160k_cityscapes-1024x1024",
                    score,
                )
                for size, score in ((0, 76.2), (1, 78.4), (2, 81.0), (5, 82.4))
            ),
            *(
                _own_segmentation(
                    f"deeplabv3plus-x{depth}",
                    f"DeepLabv3+ (X{depth})",
                    f"deeplabv3plus_x{depth}",
                    score,
                )
                for depth, score in ((65, 78.4), (71, 78.6))
            ),
            _own_segmentation("fcn8s", "FCN8s", "fcn8s", 66.7),
            _own_segmentation("dilated-net", "DilatedNet", "dilated_net", 68.6),
            _own_segmentation("resnet38", "ResNet38", "resnet38", 77.5),
            _own_segmentation("segformer-convnext-t", "ConvNeXt-T", "convnext_t", 79.0, _DECODER),
            _own_segmentation("setr-deit-s", "SETR", "setr_deit_s", 76.0, _DECODER),
            _own_segmentation("segformer-swin-t", "SWIN-T", "swin_t", 78.1, _DECODER),
            *(
                _cascade(
                    name,
                    title,
                    f"cascade_rcnn/cascade-mask-rcnn_{backbone}_fpn_ms-3x_coco",
                    score,
                    _PLAIN_CASCADE,
                    ours=ours,
                )
                for name, title, backbone, score, ours in (
                    ("r50", "ResNet-50", "r50", 46.3, "resnet50"),
                    ("x101-32", "ResNeXt-101-32", "x101-32x4d", 48.1, "resnext101_32"),
                    ("x101-64", "ResNeXt-101-64", "x101-64x4d", 48.3, "resnext101_64"),
                )
            ),
            _cascade("swin-t", "Swin-T", "", 50.4, ours="swin_t"),
            _cascade("swin-s", "Swin-S", "", 51.9, ours="swin_s"),
            _cascade("swin-b", "Swin-B", "", 51.9, ours="swin_b"),
            _cascade("convnext-t", "ConvNeXt-T", _convnext("t"), 50.4, ours="convnext_t"),
            _cascade("convnext-s", "ConvNeXt-S", _convnext("s"), 51.9, ours="convnext_s"),
            _cascade("convnext-b", "ConvNeXt-B", "", 52.7, ours="convnext_b"),
        )
    }
)  # fmt: skip


__all__ = ["MM_PRESETS", "OWN", "MMPreset"]
