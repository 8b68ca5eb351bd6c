"""int8 and float16 files beside an exported one."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.onnx_export.export import export_onnx
from stl_backbones.onnx_export.smaller import Smaller, find_images
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.onnx_files import onnx_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for n in range(7):
        (root / str(n % 2)).mkdir(exist_ok=True)
        small = rng.integers(0, 256, (5, 6, 3), np.uint8)
        Image.fromarray(small).resize((60, 50)).save(root / str(n % 2) / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def written(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet", num_classes=5)
    torch.save(network.state_dict(), folder / "w.pth")
    smaller = Smaller.of(int8=True, fp16=True, calibration=pictures, images=4, backbone=False)
    file = folder / "net.onnx"
    export_onnx("timm:test_efficientnet", folder / "w.pth", file, size=(32, 32))
    return file, {one.kind: one for one in smaller.write(file)}


def test_convolutions_are_quantised_for_each_channel(written):
    _, reports = written
    report = reports["int8"]
    assert (report.file.name, report.images) == ("net_int8.onnx", 4)
    graph = onnx.load(str(report.file)).graph
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    weights = [makers[n.input[1]] for n in graph.node if n.op_type == "Conv"]
    assert {node.op_type for node in weights} == {"DequantizeLinear"}
    for node in weights:
        codes, scales = (values[name] for name in node.input[:2])
        assert (codes.dtype, len(scales)) == (np.int8, len(codes))
    assert report.share < 0.75


def test_half_precision_is_inside_alone(written):
    _, reports = written
    model = onnx.load(str(reports["fp16"].file))
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert any(one.data_type == onnx.TensorProto.FLOAT16 for one in model.graph.initializer)
    assert 0 < reports["fp16"].difference < 0.01
    assert reports["fp16"].difference < reports["int8"].difference


def test_all_files_say_the_same_of_their_images(written):
    file, reports = written
    given = Given(task="classification")
    models = [
        onnx_model(str(path), given, SweepOptions())
        for path in (file, *(one.file for one in reports.values()))
    ]
    assert len({(str(model.view), str(model.prepare)) for model in models}) == 1
    assert len({model.weights_sha256 for model in models}) == 3


def test_the_reported_difference_is_the_files(written, pictures):
    file, reports = written
    given, (path,) = Given(task="classification"), find_images(pictures, 1)
    models = [onnx_model(str(one), given, SweepOptions()) for one in (file, reports["fp16"].file)]
    view = models[0].view(Image.open(path))
    expected, found = (model.results([model.prepared(view)])[0] for model in models)
    apart = np.abs(found - expected).max() / np.abs(expected).max()
    assert apart <= reports["fp16"].difference + 1e-7  # the largest of four images


def test_images_are_spread_over_the_folder(pictures):
    assert [path.name for path in find_images(pictures, 3)] == ["0.png", "6.png", "5.png"]
    assert len(find_images(pictures, 100)) == 7


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"int8": True}, InputError, "--quantise int8 needs --calibration DIR"),
        ({"int8": True, "calibration": "gone"}, MissingFileError, "--calibration 'gone' does not"),
        ({"int8": True, "calibration": "empty"}, InputError, "'empty' holds no images"),
        ({"calibration": "empty"}, InputError, "--calibration is for --quantise int8"),
        ({"fp16": True, "images": 3}, InputError, "--calibration-images needs --calibration"),
        ({"fp16": True, "backbone": True}, InputError, "leave --backbone out"),
    ],
)
def test_bad_words_are_refused_before_the_export(tmp_path, monkeypatch, asked, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    nothing = {"int8": False, "fp16": False, "calibration": None, "images": None, "backbone": False}
    with pytest.raises(error, match=message):
        Smaller.of(**{**nothing, **asked})
