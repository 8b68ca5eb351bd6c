"""An ONNX file as a model, in onnxruntime."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.models.hashing import file_sha256
from stl_backbones.models.onnx_session import CPU, open_session
from stl_backbones.packages import require
from stl_backbones.paths import check_file
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.given import Given, Preprocessed
from stl_backbones.robustness.predicted.modules import preparation
from stl_backbones.robustness.predicted.onnx_decoders import DECODERS, Decoder, find_decoder
from stl_backbones.robustness.predicted.onnx_input import Fed, Fit, OnnxInput
from stl_backbones.robustness.predicted.onnx_results import Boxes, Function, OneArray, Runner
from stl_backbones.robustness.predictor import UNVERIFIED, Model, text_sha256

_CUDA = "CUDAExecutionProvider"
_OURS = "stl_backbones_version"  # in the metadata of what tools/export_onnx.py writes


def onnx_model(path: str, given: Given, options: SweepOptions) -> Model:
    """Wrap a file.

    Args:
        path: The file.
        given: The task, and what the file does not say.
        options: Resolved options.

    Raises:
        InputError: If it cannot be run, gives no results of the task, or something must be said.
        MissingFileError: If it, or a file of its weights, is missing.
        UnknownNameError: If the decoder is unknown.
        MissingPackageError: If onnxruntime is not installed.
    """
    require("an ONNX file", "onnx", "onnxruntime")
    file, name, task = check_file(path, "ONNX file"), f"'{path}'", str(given.task)
    if options.amp is not None:
        raise InputError(f"amp {options.amp}: {name} has the precision that it was written with")
    decoder = _decoder(given, task, name)
    sha256, opset = _facts(file)
    session = open_session(file, providers=_providers(given.providers), name=name)
    provider = _running(session, given.providers)
    input_ = OnnxInput.of(session.get_inputs(), name)
    own = _stated(session, name)
    prepare, view = _preparation(input_, given, decoder, own, name)
    source, notes = _source(decoder, given)
    words = (f"onnxruntime {_short(provider)}, opset {opset}", str(prepare), source.split("\n")[0])
    read = (
        OneArray.of(session.get_outputs(), task, input_, name)
        if decoder is None
        else Boxes(decoder, prepare.fit, input_, name)
    )
    return Model(
        name=given.name or file.stem,
        infer=Runner(session, input_, name, read),
        prepare=prepare,
        classes=given.classes or tuple(own.get("classes", ())) or None,
        weights_sha256=sha256,
        settings={"decoder": source},
        notes=notes,
        inference=", ".join(filter(None, words)),
        device=_device(provider),
        libraries=("onnxruntime",),
        view=view,
    )


# ------------------------------------------------------------------------------- the file


def _facts(file: Path) -> tuple[str, int]:
    """sha256 of the file with those of its weights, and the version of its operators."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(file), load_external_data=False)
        opsets = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
        names = sorted({place for graph in _graphs(model.graph) for place in _places(graph)})
    except (DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"'{file}' is no ONNX file, or is cut off: {error}") from error
    if not model.graph.node:
        raise InputError(f"'{file}' is no ONNX file: it holds no graph")
    opset = next(iter(opsets), 0)
    missing = [one for one in names if not (file.parent / one).is_file()]
    if missing:
        raise MissingFileError(
            f"'{file}' keeps weights in {some_of(missing)}, which is not in its folder; copy both"
        )
    digests = [file_sha256(one) for one in (file, *(file.parent / name for name in names))]
    return digests[0] if not names else text_sha256(" ".join(digests)), opset


def _graphs(graph: Any) -> list[Any]:
    """A graph, and those within its nodes."""
    inner = [
        one
        for node in graph.node
        for attribute in node.attribute
        for one in (attribute.g, *attribute.graphs)
        if one.node
    ]
    return [graph, *(deeper for one in inner for deeper in _graphs(one))]


def _places(graph: Any) -> list[str]:
    """Files that hold a graph's weights."""
    return [
        entry.value
        for weight in graph.initializer
        if weight.data_location == weight.EXTERNAL
        for entry in weight.external_data
        if entry.key == "location"
    ]


def _stated(session: Any, name: str) -> dict[str, Any]:
    """What a file of our own says of its images."""
    try:
        metadata = session.get_modelmeta().custom_metadata_map
        return _read_stated(metadata) if _OURS in metadata else {}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{name} says that tools/export_onnx.py wrote it, but its metadata are others: "
            f"{type(error).__name__}: {error}"
        ) from error


def _read_stated(metadata: Mapping[str, str]) -> dict[str, Any]:
    own: dict[str, Any] = {"channel_order": metadata["channel_order"]}
    own |= {name: [v / 255 for v in json.loads(metadata[name])] for name in ("mean", "std")}
    own |= {name: float(metadata[name]) for name in ("crop_pct",) if name in metadata}
    own |= {name: metadata[name] for name in ("interpolation",) if name in metadata}
    own["classes"] = json.loads(metadata["classes"])
    if not isinstance(own["classes"], list) or not all(isinstance(n, str) for n in own["classes"]):
        raise ValueError("its classes are no list of names")
    for name in ("mean", "std"):
        if len(own[name]) != 3 or not all(map(math.isfinite, own[name])):
            raise ValueError(f"{name} is not three finite numbers")
    return own


def _decoder(given: Given, task: str, name: str) -> Decoder | Function | None:
    """What makes boxes of a detector's outputs; ``None`` for another task.

    Raises:
        InputError: If a detector has none, or another file has one.
    """
    found = given.decoder
    if task != "detection":
        if found is not None:
            raise InputError(f"decoder {found} makes boxes; the data are for {task}")
        return None
    if found is None:
        raise InputError(
            f"nothing says how the outputs of {name} become boxes: give decoder, one of "
            f"{', '.join(DECODERS)}, or a function (outputs, input_size, image_size) -> Detections"
        )
    return find_decoder(found) if isinstance(found, str) else found


def _source(decoder: Decoder | Function | None, given: Given) -> tuple[str, tuple[str, ...]]:
    """The decoder in words, a function with its text; and a note if its version is unknown."""
    if decoder is None or isinstance(decoder, Decoder):
        return ("" if decoder is None else f"decoder {given.decoder}"), ()
    words = f"decoder {getattr(decoder, '__name__', type(decoder).__name__)}"
    if given.version:
        return f"{words} {given.version}", ()
    try:
        return f"{words}\n{inspect.getsource(decoder)}", ()
    except (OSError, TypeError):  # of a prompt, or of an object
        return words, (UNVERIFIED,)


# ------------------------------------------------------------------------------- providers


def _providers(asked: Sequence[str] | None) -> list[str]:
    """Names of onnxruntime's providers, the processor's at the end.

    Raises:
        InputError: If one that is asked for is not there.
    """
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if asked is None:
        return [one for one in (_CUDA, CPU) if one in there]
    wanted = [asked] if isinstance(asked, str) else list(asked)
    by_name = {_short(one): one for one in there}
    absent = [one for one in wanted if _short(one) not in by_name]
    if absent:
        raise InputError(
            f"provider {some_of(absent)} is not in onnxruntime {onnxruntime.__version__} as it is "
            f"installed; expected {', '.join(there)} (CUDA comes with onnxruntime-gpu)"
        )
    return list(dict.fromkeys([*(by_name[_short(one)] for one in wanted), CPU]))


def _short(provider: str) -> str:
    return provider.casefold().removesuffix("executionprovider")


def _running(session: Any, asked: Sequence[str] | None) -> str:
    """The provider that runs: onnxruntime takes the next one where one does not start."""
    first = str(session.get_providers()[0])
    wanted = _providers(asked)[0]
    if asked is not None and first != wanted:
        raise InputError(
            f"provider {wanted} does not start on this machine, onnxruntime would take {first}; "
            "are its driver and libraries installed?"
        )
    return first


def _device(provider: str) -> str:
    if provider == CPU:
        return "cpu"
    return "" if torch.cuda.is_available() else provider


# ------------------------------------------------------------------------------- images


def _preparation(
    input_: OnnxInput,
    given: Given,
    decoder: Decoder | Function | None,
    own: Mapping[str, Any],
    name: str,
) -> tuple[Fed, Any]:
    """How images are prepared, and what of them a classifier sees."""
    size = input_.sized(given.size, name)
    given = dataclasses.replace(given, name=given.name or name)
    if input_.dtype == np.uint8:
        if given.mean is not None or given.std is not None:
            raise InputError(f"{name} takes pixels 0..255 as they are: leave out mean and std")
        own = {**own, "mean": (0.0,), "std": (1 / 255,)}
    kind = "stretch"
    is_said = "mean" in own or given.preprocess is not None or given.mean is not None
    if not is_said and not isinstance(decoder, Decoder) and decoder is not None:
        raise InputError(
            f"nothing says how the images of {name} are normalised: give mean and std, of values "
            "in 0..1, and the channel order if it is bgr; or preprocess"
        )
    if isinstance(decoder, Decoder) and given.preprocess is None:
        own, kind = {**vars(decoder), **own}, decoder.fit
    if kind != "stretch" and size is None:
        raise InputError(f"{name} takes images of any size: give size")
    side = size[0] if size is not None and size[0] == size[1] else size
    sized = dataclasses.replace(given, size=side)
    prepare, view = preparation(sized, str(given.task), own)
    return Fed(prepare, isinstance(prepare, Preprocessed), Fit(kind, size), input_), view


__all__ = ["onnx_model"]
