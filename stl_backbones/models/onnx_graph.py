"""A network as an ONNX graph of one input size, and how far the graph is from the network.

The graph is written by torch's exporter on ``torch.export``. The older one, on TorchScript, is
deprecated, and keeps the shapes of a fixed size as a graph of their own, which it then cannot write
a LayerNorm over.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from stl_backbones.errors import InputError
from stl_backbones.models.onnx_session import explained, open_session, reason
from stl_backbones.packages import require

if TYPE_CHECKING:
    import onnx

DEFAULT_OPSET = 20  # torch 2.11's own default
OPSETS = (18, 25)  # torch's exporter writes no older, onnxscript 0.7's converter no newer one
INPUT = "image"
_OLDEST_TORCH = (2, 11)  # that this is tested with
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_TALKERS = ("onnxscript", "torch.fx", "torch.onnx")
_LARGEST = 2**31 - 1  # bytes of a protobuf message
_ADVICE = "choose another with --opset"


def check_onnx_installed() -> None:
    """Refuse to begin without the packages that the file is written and checked with.

    Raises:
        ImportError: If one is missing.
        ValueError: If torch is too old.
    """
    require("ONNX export", *_PACKAGES)
    if torch.__version__ < _OLDEST_TORCH:
        oldest = ".".join(map(str, _OLDEST_TORCH))
        raise InputError(f"ONNX export needs torch {oldest} or newer, got {torch.__version__}")


def make_graph(
    network: nn.Module, image: Tensor, *, outputs: Sequence[str], opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """Write a network as a graph that takes images of one shape.

    Args:
        network: In evaluation mode, on the CPU; maps ``image`` to a tensor or a tuple of them.
        image: ``(B, C, H, W)`` float32, of the shape that the graph is to take.
        outputs: Names of the outputs.
        opset: Version of ONNX's operators.

    Returns:
        The graph, its input named ``'image'``, with all weights inside and without the exporter's
        notes, which hold the paths of source files.

    Raises:
        ValueError: If the network, or a file of this opset, cannot be written.
    """
    oldest, newest = OPSETS
    if not oldest <= opset <= newest:
        raise InputError(f"opset must be in {oldest}..{newest}, got {opset}")
    size = sum(weight.nbytes for weight in network.state_dict().values())
    if size > _LARGEST:
        raise InputError(f"an ONNX file holds 2 GiB at most, the weights take {size / 2**30:.1f}")
    try:
        with torch.no_grad(), _quiet():
            program: Any = torch.onnx.export(
                network,
                (image,),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=list(outputs),
                opset_version=opset,
            )
    except torch.onnx.OnnxExporterError as error:
        raise InputError(f"torch cannot write the network as ONNX: {reason(error)}") from error
    model = program.model_proto
    written = {entry.domain: entry.version for entry in model.opset_import}
    if written.get("") != opset:
        raise InputError(f"torch wrote opset {written.get('')} instead of {opset}; {_ADVICE}")
    _remove_notes(model)
    return model


def largest_difference(
    content: bytes, image: Tensor, expected: Mapping[str, Tensor]
) -> dict[str, float]:
    """Run an ONNX file in onnxruntime on the CPU, and compare it with what the network gave.

    Args:
        content: The file.
        image: ``(B, C, H, W)`` float32.
        expected: Output -> the network's value. For an output of labels ``(B, H, W)`` it is the
            logits ``(B, K, H, W)``: a label is as far off as its logit is below the largest one.

    Returns:
        Output -> the largest difference, as a share of the largest absolute expected value; NaN if
        a value is not finite.

    Raises:
        ValueError: If onnxruntime cannot run the file, or an output has another shape.
    """
    with explained("the file", hint=f"; {_ADVICE}"):
        session = open_session(content)
        found = session.run(list(expected), {INPUT: image.numpy()})
    return {
        name: _difference(value, expected[name].numpy(), name=name)
        for name, value in zip(expected, found, strict=True)
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says about its own inside off the terminal; its errors say enough."""
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            # torch 2.11's own, of torch.utils._pytree
            warnings.filterwarnings("ignore", r".*LeafSpec", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _difference(found: np.ndarray, expected: np.ndarray, *, name: str) -> float:
    scale = float(np.abs(expected).max())
    if np.issubdtype(found.dtype, np.integer):
        # Two classes may be equal but for rounding: what counts is how far the choice is off.
        chosen = np.take_along_axis(expected, found[:, None], axis=1)[:, 0]
        found, expected = chosen, expected.max(axis=1)
    if found.shape != expected.shape:
        raise InputError(f"output '{name}' has shape {found.shape} instead of {expected.shape}")
    distance = float(np.abs(found - expected).max())
    return distance / scale if scale else distance


def _remove_notes(model: onnx.ModelProto) -> None:
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info]
    parts += [*graph.initializer, *model.functions]
    parts += [node for function in model.functions for node in function.node]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


__all__ = [
    "DEFAULT_OPSET",
    "INPUT",
    "OPSETS",
    "check_onnx_installed",
    "largest_difference",
    "make_graph",
]
