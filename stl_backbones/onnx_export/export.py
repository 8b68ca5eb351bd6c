"""A classifier, or the model of a config, as an ONNX file of one image size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stl_backbones import __version__
from stl_backbones.datasets.views import View
from stl_backbones.errors import InputError
from stl_backbones.models import FAN
from stl_backbones.models.onnx_graph import (
    DEFAULT_OPSET,
    check_onnx_installed,
    largest_difference,
    make_graph,
)
from stl_backbones.onnx_export.networks import Labels, SegmentationLogits, Source
from stl_backbones.onnx_export.sources import open_source
from stl_backbones.paths import check_folder
from stl_backbones.results.atomic import write_atomically

TOLERANCE = 1e-4  # largest difference from torch, as a share of an output's largest value
_SEED = 0  # of the images that the file is checked with


@dataclass(frozen=True)
class OnnxReport:
    """What was written.

    Attributes:
        name: The arch, or the config's name.
        outputs: Output -> shape.
        difference: The largest difference between onnxruntime and torch, as a share of an output's
            largest absolute value.
        opset: Version of ONNX's operators.
        note: What the user should know, a line, or nothing.
    """

    name: str
    outputs: Mapping[str, tuple[int, ...]]
    difference: float
    opset: int
    note: str

    def __str__(self) -> str:
        """A printed report."""
        shapes = ", ".join(
            f"{name} {'x'.join(map(str, shape))}" for name, shape in self.outputs.items()
        )
        note = f"\n  {self.note}" if self.note else ""
        return (
            f"{self.name}, opset {self.opset}: {shapes}{note}\n"
            f"  onnxruntime against torch: largest difference {self.difference:.1e} of the largest "
            f"value, allowed {TOLERANCE:.0e}"
        )


def export_onnx(
    model: str | Path,
    checkpoint: str | Path | None,
    target: str | Path,
    *,
    size: tuple[int, int],
    batch: int = 1,
    opset: int = DEFAULT_OPSET,
    backbone: bool = False,
    labels: bool = False,
    options: Mapping[str, Any] | None = None,
    ema: bool = True,
) -> OnnxReport:
    """Write a network as an ONNX file that takes images of one size.

    The file is compared with torch in onnxruntime before it appears; on a difference above
    `TOLERANCE` nothing is written, and what stood under the name stays.

    Args:
        model: A FAN's name (``'fan_tiny_8_p4_hybrid'``, ``'..._token'``, or its arch,
            ``'tiny_hybrid'``), ``'timm:NAME'``, or a config of a classifier or of a segmentation
            model.
        checkpoint: Its weights; ``None``, for a name alone, leaves a FAN's untrained, and fetches
            timm's.
        target: The file to write, ending ``.onnx``.
        size: Height and width of the images.
        batch: Number of images.
        opset: Version of ONNX's operators.
        backbone: Export the backbone's dense maps alone; the only way for a detector.
        labels: Export the class of each pixel instead of the logits, for a segmentation model.
        options: ``--cfg-options``.
        ema: Prefer the averaged weights of the checkpoint.

    Raises:
        FileNotFoundError: If the config, the checkpoint or the target's folder is missing.
        KeyError: If the name is none, or an option names nothing in the config.
        ValueError: If a package is missing, a value is out of range, the model cannot be exported,
            the checkpoint does not fit, or the file differs from torch.
    """
    check_onnx_installed()
    target = Path(target)
    _check_request(target, size, batch)
    source = open_source(str(model), checkpoint, backbone=backbone, options=options, ema=ema)
    network = _strip(source.network)
    noise = torch.Generator().manual_seed(_SEED)
    image = _draw_image((batch, len(source.mean), *size), noise)
    expected = _run(network, image, source.outputs)
    if labels:
        network, source = _with_labels(network, source, expected)
        expected = {"labels": expected["logits"]}
    graph = make_graph(network, image, outputs=tuple(expected), opset=opset)
    for key, value in _metadata(source, batch, size).items():
        graph.metadata_props.add(key=key, value=value)
    content = graph.SerializeToString()
    differences = largest_difference(content, image, expected)
    _check_difference(differences)
    write_atomically(target, content)
    return OnnxReport(
        name=source.name,
        outputs={
            output.name: tuple(side.dim_value for side in output.type.tensor_type.shape.dim)
            for output in graph.graph.output
        },
        difference=max(differences.values()),
        opset=opset,
        note=source.note,
    )


def _check_request(target: Path, size: tuple[int, int], batch: int) -> None:
    if target.suffix != ".onnx":
        raise InputError(f"the file to write must end in .onnx, got '{target}'")
    check_folder(target.parent, "the ONNX file's folder")
    if target.is_dir():
        raise InputError(f"'{target}' must be a file, not a folder")
    if min(size) < 1:
        raise InputError(f"height and width must be at least 1, got {size[0]}x{size[1]}")
    if batch < 1:
        raise InputError(f"the batch must hold at least 1 image, got {batch}")


def _draw_image(shape: tuple[int, ...], noise: torch.Generator) -> Tensor:
    try:
        return torch.randn(*shape, generator=noise)
    except RuntimeError as error:  # torch's kind of MemoryError
        size = "x".join(map(str, shape))
        raise InputError(f"there is no memory for images of {size}: {error}") from error


def _strip(network: nn.Module) -> nn.Module:
    """The network for prediction on the CPU, without checkpointing."""
    network = network.cpu().float().eval()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for part in network.modules():
        if isinstance(part, FAN):
            part.set_grad_checkpointing(False)
    return network


def _run(network: nn.Module, image: Tensor, names: tuple[str, ...] | None) -> dict[str, Tensor]:
    """What torch computes, by output; also finds out whether the network takes this size."""
    try:
        with torch.no_grad():
            found = network(image)
    except RuntimeError as error:
        height, width = image.shape[-2:]
        raise InputError(
            f"the network does not take images of {height}x{width}: {str(error).splitlines()[0]}"
        ) from error
    values = found if isinstance(found, tuple) else (found,)
    names = names or tuple(f"map_{index}" for index in range(len(values)))
    return dict(zip(names, values, strict=True))


def _with_labels(
    network: nn.Module, source: Source, expected: Mapping[str, Tensor]
) -> tuple[nn.Module, Source]:
    if not isinstance(source.network, SegmentationLogits):
        raise InputError("labels are exported of a segmentation model alone, without --backbone")
    if expected["logits"].shape[1] < 2:
        raise InputError("labels need a logit per class; this model has one logit per pixel")
    return Labels(network).eval(), replace(source, outputs=("labels",))


def _metadata(source: Source, batch: int, size: tuple[int, int]) -> dict[str, str]:
    """What the file says of itself: plain words, and JSON where there are several values."""
    return {
        "stl_backbones_version": __version__,
        "torch_version": torch.__version__,
        "model": source.name,
        "checkpoint_sha256": source.checkpoint_sha256,
        "input_shape": json.dumps([batch, len(source.mean), *size]),
        "channel_order": source.channel_order,
        "value_range": "0..255 before normalisation",
        "mean": json.dumps([round(value, 4) for value in source.mean]),
        "std": json.dumps([round(value, 4) for value in source.std]),
        "classes": json.dumps(source.classes),
        "task": source.task,
        **_view_metadata(source.view),
    }


def _view_metadata(view: View | None) -> dict[str, str]:
    """Crop and interpolation of a classifier's images."""
    if view is None:
        return {}
    crop_pct = view.size / view.shorter
    while math.floor(view.size / crop_pct) < view.shorter:  # as it is read
        crop_pct = math.nextafter(crop_pct, 0)
    return {"crop_pct": json.dumps(crop_pct), "interpolation": view.interpolation}


def _check_difference(differences: Mapping[str, float]) -> None:
    for name, value in differences.items():
        if not value <= TOLERANCE:  # NaN too
            found = "is not finite" if math.isnan(value) else f"differs by {value:.1e}"
            raise InputError(
                f"output '{name}' in onnxruntime {found} from torch's, as a share of its largest "
                f"value; allowed is {TOLERANCE:.0e}, so nothing was written"
            )


__all__ = ["TOLERANCE", "OnnxReport", "export_onnx"]
