"""Readers of networks: checkpoints, ONNX files and configs."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faults.fuzz import mutators as ways
from faults.fuzz.images import picture
from faults.fuzz.reader import Mutator, Reader, each_alone


def _pth_seeds(folder: Path) -> list[bytes]:
    """As torch.save, mmengine and scripts of before write them."""
    import torch
    from mmengine.logging import HistoryBuffer

    weights = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    contents: list[Any] = [
        weights,
        {"state_dict": weights, "meta": {"epoch": 3, "config": "a = 1", "seed": np.float64(0.5)},
         "message_hub": {"log_scalars": {"loss": history},
                         "runtime_info": {"best_ckpt": "best_a.pth", "keep_ckpt_ids": [3]}},
         "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}},
        {"model": weights, "scores": np.arange(6.0).reshape(2, 3), "half": torch.ones(2).half()},
    ]  # fmt: skip
    found = [_saved(one) for one in contents]
    found += [_saved(one, _use_new_zipfile_serialization=False) for one in contents[:2]]
    return found


def _saved(content: Any, **options: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _read_checkpoint(path: Path) -> None:
    """For mmengine, for a network of ours, and for a run that goes on."""
    import torch

    from stl_backbones.engine.checkpointing import find_resume
    from stl_backbones.engine.safe_loaders import load_from_local
    from stl_backbones.models import load_weights, read_checkpoint, select_state_dict
    from stl_backbones.models.checkpoint import clean_state_dict

    find_resume(path.parent)
    with each_alone() as each:
        each(load_from_local, path)
        checkpoint = read_checkpoint(path)
        weights = clean_state_dict(select_state_dict(checkpoint, source=path))
        load_weights(torch.nn.Linear(3, 2), weights, source=str(path))


def _safetensors_seeds(folder: Path) -> list[bytes]:
    import torch
    from safetensors.torch import save

    weights = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    return [
        save(weights),
        save(weights, metadata={"format": "pt"}),
        save({"a": torch.ones(2).half()}),
    ]


def _pth_members(name: str) -> Sequence[Mutator]:
    return ways.PICKLE if name.endswith(".pkl") else ways.BYTES


def _config_seeds(folder: Path, kind: str) -> list[bytes]:
    plain = {
        "model": {"type": "EncoderDecoder", "backbone": {"type": "FAN", "out_indices": [0, 1]}},
        "classes": ["a", "b"], "data_root": "d",
        "custom_imports": {"imports": [], "allow_failed_imports": False},
        "test_dataloader": {"batch_size": 1, "num_workers": 0, "dataset": {"type": "A"}},
        "linked_options": {"num_classes": ["model.num_classes"]}, "_base_": [],
    }  # fmt: skip
    if kind == "json":
        return [json.dumps(plain).encode()]
    if kind == "yaml":
        import yaml

        return [
            yaml.safe_dump(plain).encode(),
            b"a: &x [1, 2]\nb: *x\nc: !!float 3\nd: 2026-01-01\n",
        ]
    lines = "\n".join(f"{name} = {value!r}" for name, value in plain.items())
    return [lines.encode(), b"a = 2\nmodel = dict(n={{_base_.x}}, k=a)\n_base_ = []\n"]


def _read_config(path: Path) -> None:
    from stl_backbones.config.reading import load_config

    load_config(path)


def _onnx_seeds(folder: Path) -> list[bytes]:
    """A classifier and a segmenter, and one with what the export writes beside them."""
    import onnx
    from onnx import TensorProto, helper

    found = []
    for shape, operator in (((1, 3), "GlobalAveragePool"), ((1, 3, 8, 8), "Identity")):
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ("b", 3, 8, 8))
        out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("b", *shape[1:]))
        weight = helper.make_tensor(
            "w", TensorProto.FLOAT, (3, 3, 1, 1), np.eye(3).ravel().tolist()
        )
        nodes = [helper.make_node("Conv", ["image", "w"], ["c"])]
        last = "logits" if operator == "Identity" else "p"
        nodes.append(helper.make_node(operator, ["c"], [last]))
        if last == "p":
            nodes.append(helper.make_node("Flatten", ["p"], ["logits"]))
        graph = helper.make_graph(nodes, "g", [image], [out], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        found.append(model.SerializeToString())
        texts = {"mean": "[123.7, 116.3, 103.5]", "std": "[58.4, 57.1, 57.4]", "crop_pct": "0.9",
                 "interpolation": "bicubic", "classes": '["a", "b", "c"]', "channel_order": "RGB",
                 "stl_backbones_version": "1"}  # fmt: skip
        helper.set_model_props(model, texts)
        found.append(model.SerializeToString())
    del onnx
    return found


def _read_onnx(path: Path) -> None:
    """Open it, and run it on an image, for both tasks."""
    from stl_backbones.robustness.options import SweepOptions
    from stl_backbones.robustness.predicted.find_model import open_model
    from stl_backbones.robustness.predicted.given import Given

    said: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "channel_order": "RGB"}
    image = picture(0)[:8, :8]

    def run(task: str, own: dict[str, Any]) -> None:
        given = Given(task=task, classes=("a", "b", "c"), name="m", **own)
        model = open_model(str(path), given, SweepOptions())
        model.infer([model.prepare(image)])

    with each_alone() as each:
        for task in ("classification", "segmentation"):
            for own in ({}, said, {**said, "crop_pct": 1.0, "interpolation": "bilinear"}):
                each(run, task, own)


def change_onnx(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change a field of an ONNX file's messages."""
    import onnx
    from google.protobuf.message import DecodeError, EncodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        message: Any = model
        while rng.random() < 0.85:
            inner = _messages(message)
            if not inner:
                break
            message = rng.choice(inner)
        fields = message.ListFields()
        if fields:
            _change_field(message, *rng.choice(fields), rng=rng)
        return bytes(model.SerializeToString())
    except (DecodeError, EncodeError, ValueError, TypeError):
        return ways.flip_bits(data, rng, others)


def _messages(message: Any) -> list[Any]:
    found: list[Any] = []
    for field, value in message.ListFields():
        if field.message_type is not None:
            found += [value] if hasattr(value, "ListFields") else list(value)
    return found


def _change_field(message: Any, field: Any, value: Any, *, rng: random.Random) -> None:
    is_list = not isinstance(value, str | bytes | int | float) and not hasattr(value, "ListFields")
    kind = rng.randrange(3)
    if kind == 0 and field.message_type is None and not is_list:
        if isinstance(value, str | bytes):
            text = rng.choice(("", "/", "../x", "[" * 500, "a" * 300, "NaN", "{}", "null"))
            setattr(message, field.name, text if isinstance(value, str) else text.encode())
        else:
            setattr(message, field.name, type(value)(rng.choice((0, -1, 1, 3, 2**31 - 1, 127))))
    elif kind == 1 and is_list:
        value.append(value[0]) if field.message_type is None else value.add().CopyFrom(value[0])
    elif is_list:
        del value[rng.randrange(len(value))]
    else:
        message.ClearField(field.name)


_ONNX: tuple[Mutator, ...] = (change_onnx, change_onnx, change_onnx, *ways.BYTES)


_TORCH = ("torch._weights_only_unpickler", "torch.serialization", "torch._utils")

READERS = (
    Reader("checkpoint", "epoch_3.pth", _pth_seeds, _read_checkpoint,
           (ways.change_member(_pth_members),) * 3 + ways.PICKLE, _TORCH),
    Reader("safetensors", "a.safetensors", _safetensors_seeds, _read_checkpoint, ways.SAFETENSORS,
           ("safetensors",)),
    Reader("ONNX", "a.onnx", _onnx_seeds, _read_onnx, _ONNX),
    Reader("config.py", "a.py", partial(_config_seeds, kind="py"), _read_config, ways.TEXT,
           ("mmengine.config",)),
    Reader("config.json", "a.json", partial(_config_seeds, kind="json"), _read_config, ways.JSON,
           ("mmengine.config",)),
    Reader("config.yaml", "a.yaml", partial(_config_seeds, kind="yaml"), _read_config, ways.TEXT,
           ("mmengine.config", "yaml")),
)  # fmt: skip
