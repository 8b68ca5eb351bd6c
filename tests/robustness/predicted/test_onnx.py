"""ONNX files as models: what is read from the file, equal predictions to torch's, and bad files."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from stl_backbones.errors import InputError, MissingFileError, UnknownNameError
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.find_model import open_model
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.onnx_files import onnx_model
from stl_backbones.robustness.predictor import Detections, as_array

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT, HALF, UINT8, INT64 = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT64,
)  # fmt: skip
PLAIN = {"mean": (0,), "std": (1 / 255,)}  # pixels as they are


def write(path, nodes, inputs, outputs, weights=(), *, opset=17, **metadata):
    """A file of a few nodes; inputs and outputs as (name, type, shape)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return str(path)


def averages(path, shape, kind=FLOAT, axes=(2, 3), **metadata):
    """A classifier whose scores are the mean of each channel."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=FLOAT),
        helper.make_node("ReduceMean", ["float"], ["logits"], axes=list(axes), keepdims=0),
    ]
    outputs = [("logits", FLOAT, [shape[0], 3])]
    return write(path, nodes, [("image", kind, shape)], outputs, **metadata)


def identity(path, shape, kind=FLOAT):
    """Scores of pixels: the input."""
    nodes = [helper.make_node("Identity", ["image"], ["logits"])]
    return write(path, nodes, [("image", kind, shape)], [("logits", kind, shape)])


def opened(path, task="classification", **given):
    return onnx_model(path, Given(task=task, **given), SweepOptions())


def predict(model, *images):
    return [as_array(one) for one in model.results([model.prepared(one) for one in images])]


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


# -------------------------------------------------------------------- what the file says


@pytest.mark.parametrize(
    ("shape", "kind", "axes", "words"),
    [
        ([1, 3, 8, 8], FLOAT, (2, 3), "NCHW float32"),
        (["n", 3, "h", "w"], FLOAT, (2, 3), "NCHW float32"),
        (["n", "c", "h", "w"], FLOAT, (2, 3), "NCHW float32"),
        ([4, 3, 8, 8], HALF, (2, 3), "NCHW float16"),
        (["n", 8, 8, 3], UINT8, (1, 2), "NHWC uint8"),
        ([1, "h", "w", 3], FLOAT, (1, 2), "NHWC float32"),
    ],
)
def test_layout_type_and_batch_are_the_files(tmp_path, shape, kind, axes, words):
    path = averages(tmp_path / "a.onnx", shape, kind, axes)
    given = {"size": 8, **({} if kind == UINT8 else PLAIN)}
    model = opened(path, **given)
    assert words in model.inference
    images = [np.full((8, 8, 3), (n, 2 * n, 3 * n), np.uint8) for n in range(1, 6)]
    found = predict(model, *images)
    np.testing.assert_allclose(found, [[n, 2 * n, 3 * n] for n in range(1, 6)], rtol=1e-3)


def test_the_side_of_a_classifiers_view_is_the_files(tmp_path):
    model = opened(averages(tmp_path / "a.onnx", [1, 3, 40, 40]), **PLAIN, crop_pct=0.8)
    assert str(model.view) == "center crop 40 of 50 bilinear"


def test_channels_may_be_blue_green_red(tmp_path):
    path = averages(tmp_path / "a.onnx", [1, 3, 2, 2])
    model = opened(path, mean=(0.1, 0, 0), std=(1 / 255,), channel_order="bgr")
    (found,) = predict(model, np.full((2, 2, 3), (10, 20, 30), np.uint8))
    np.testing.assert_allclose(found, [30 - 25.5, 20, 10], rtol=1e-5)  # mean in the file's order
    with pytest.raises(InputError, match="must be RGB or BGR, got 'GRB'"):
        opened(path, **PLAIN, channel_order="GRB")


def test_scores_of_pixels_come_in_the_inputs_layout(tmp_path, picture):
    for shape in ([1, 3, "h", "w"], [1, "h", "w", 3]):
        model = opened(identity(tmp_path / "a.onnx", shape), "segmentation", **PLAIN)
        (found,) = predict(model, picture)
        np.testing.assert_array_equal(found, picture.transpose(2, 0, 1))


def test_labels_of_the_input_come_to_the_images_size(tmp_path):
    nodes = [helper.make_node("ArgMax", ["image"], ["labels"], axis=1, keepdims=0)]
    shape = [("image", FLOAT, [1, 3, 4, 4])], [("labels", INT64, [1, 4, 4])]
    model = opened(write(tmp_path / "a.onnx", nodes, *shape), "segmentation", **PLAIN)
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :4, 1] = image[:, 4:, 2] = 255
    (found,) = predict(model, image)
    np.testing.assert_array_equal(found, np.repeat([[1] * 4 + [2] * 4], 8, axis=0))


def test_of_two_outputs_the_one_of_the_tasks_shape_is_taken(tmp_path):
    def two(names, shapes):
        nodes = [
            helper.make_node("ReduceMean", ["image"], [names[0]], axes=[2, 3], keepdims=0),
            helper.make_node("Identity", [shapes[2]], [names[1]]),
        ]
        outputs = [(names[0], FLOAT, shapes[0]), (names[1], FLOAT, shapes[1])]
        return write(tmp_path / "a.onnx", nodes, [("image", FLOAT, [1, 3, 2, 2])], outputs)

    image = np.full((2, 2, 3), (1, 2, 3), np.uint8)
    model = opened(two(("a", "b"), ([1, 3], [1, 3, 2, 2], "image")), **PLAIN)
    np.testing.assert_allclose(predict(model, image), [[1, 2, 3]])
    model = opened(two(("logits", "b"), ([1, 3], [1, 3], "logits")), **PLAIN)
    np.testing.assert_allclose(predict(model, image), [[1, 2, 3]])
    with pytest.raises(InputError, match=r"has 2 outputs \(a \[1, 3\], b \[1, 3\]\); expected one"):
        opened(two(("a", "b"), ([1, 3], [1, 3], "a")), **PLAIN)


def test_a_file_is_told_from_others_by_its_bytes_and_those_of_its_weights(tmp_path):
    values = np.arange(3 * 300, dtype=np.float32).reshape(3, 300)

    def save(factor):
        nodes = [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["mean", "w"], ["logits"]),
        ]
        shapes = [("image", FLOAT, [1, 3, 8, 8])], [("logits", FLOAT, [1, 300])]
        (tmp_path / "a.data").unlink(missing_ok=True)  # onnx would write behind it
        path = write(tmp_path / "a.onnx", nodes, *shapes, [("w", factor * values)])
        onnx.save(onnx.load(path), path, save_as_external_data=True, location="a.data")
        return opened(path, **PLAIN).weights_sha256

    assert save(1) == save(1) != save(2)
    (tmp_path / "a.data").unlink()
    with pytest.raises(MissingFileError, match=r"keeps weights in a.data, which is not in its fol"):
        opened(str(tmp_path / "a.onnx"), **PLAIN)


def test_where_it_runs_is_stated(tmp_path):
    path = averages(tmp_path / "a.onnx", [1, 3, 8, 8])
    model = opened(path, **PLAIN, providers=["cpu"])
    assert (model.device, model.libraries) == ("cpu", ("onnxruntime",))
    assert model.inference.startswith("onnxruntime cpu, opset 17, NCHW float32")
    with pytest.raises(InputError, match=r"provider CUDA.* is not in onnxruntime .*CPUExecution"):
        opened(path, **PLAIN, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])


# -------------------------------------------------------------------- detectors


def detector(path, value, shape=(1, 3, 40, 40)):
    """Gives always the same."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["m"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["m", "zero"], ["z"]),
        helper.make_node("Add", ["value", "z"], ["output"]),
    ]
    weights = [("zero", np.float32(0)), ("value", value)]
    return write(
        path, nodes, [("image", FLOAT, list(shape))], [("output", FLOAT, value.shape)], weights
    )


def test_a_named_decoder_brings_its_preparation_and_boxes_come_to_the_image(tmp_path):
    value = np.zeros((1, 5, 20), np.float32)
    value[0, :, 0] = [20, 20, 8, 4, 0.5]  # in a square of 40: the image of 60x30 fills 40x20
    model = opened(detector(tmp_path / "a.onnx", value), "detection", decoder="yolov8")
    assert "scaled within 40x40, centre" in model.inference
    assert model.inference.endswith("decoder yolov8")
    image = np.zeros((30, 60, 3), np.uint8)
    (found,) = model.results([model.prepared(image)])
    np.testing.assert_allclose(found.boxes, [[24, 12, 36, 18]])
    fed = model.prepared(image)[0].numpy()
    assert fed.max() == pytest.approx(114 / 255)  # the padding, in 0..1


def test_a_function_decodes_what_the_file_gives(tmp_path):
    seen = []

    def decode(outputs, input_size, image_size):
        seen.append((outputs["output"].shape, input_size, image_size))
        return Detections(np.array([[0, 0, 5, 5.0]]), np.array([0.5]), np.array([1]))

    path = detector(tmp_path / "a.onnx", np.ones((1, 2, 3), np.float32))
    model = opened(path, "detection", decoder=decode, **PLAIN)
    (found,) = model.results([model.prepared(np.zeros((30, 60, 3), np.uint8))])
    assert found.labels.tolist() == [1]
    assert seen == [((1, 2, 3), (40, 40), (30, 60))]
    # Another function, another identity; the same one stated by its version.
    with pytest.raises(InputError, match="normalised: give mean and std"):
        opened(path, "detection", decoder=decode)
    other = opened(path, "detection", decoder=lambda *_: found, **PLAIN)
    assert other.config_sha256 != model.config_sha256
    assert "decode v2" in opened(path, "detection", decoder=decode, version="v2", **PLAIN).inference


def test_what_a_decoder_raises_is_named(tmp_path):
    path = detector(tmp_path / "a.onnx", np.ones((1, 2, 3), np.float32))

    def fails(outputs, input_size, image_size):
        return outputs["boxes"]

    model = opened(path, "detection", decoder=fails, **PLAIN)
    with pytest.raises(
        InputError, match=r"the decoder of '.*' fails on output \(1, 2, 3\): KeyErr"
    ):
        model.results([model.prepared(np.zeros((30, 60, 3), np.uint8))])


# -------------------------------------------------------------------- equal to torch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        (root / name).mkdir()
        for n in range(3):
            small = rng.integers(0, 256, (6, 7, 3), np.uint8)
            Image.fromarray(small).resize((70, 60)).save(root / name / f"{n}.png")
    return root


def cells_of(model, data, work_dir, **options):
    import stl_backbones as stl

    return stl.evaluate(
        model, data, work_dir=work_dir, corruptions=["fog"], severities=[3], progress=False,
        workers=0, **options,
    )  # fmt: skip


def assert_same_images(first, second):
    one, other = first.images(), second.images()
    assert len(one) == len(other) > 0
    numbers = one.select_dtypes("number").columns
    np.testing.assert_allclose(one[numbers], other[numbers], rtol=1e-4, atol=1e-4)


def test_a_timm_network_and_its_file_give_the_same_cells(tmp_path, folder):
    from stl_backbones.onnx_export.export import export_onnx

    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=2).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    export_onnx("timm:resnet10t", tmp_path / "w.pth", tmp_path / "r.onnx", size=(32, 32), batch=2)
    of_torch = cells_of(network, folder, tmp_path / "torch", size=32)
    of_file = cells_of(tmp_path / "r.onnx", folder, tmp_path / "file")
    assert_same_images(of_torch, of_file)
    (about,) = of_file.provenance
    assert about.device == "cpu"
    assert "onnxruntime cpu, opset 20" in about.inference
    assert len(about.checkpoint_sha256) == 64


@pytest.mark.slow
def test_fan_and_its_file_give_the_same_cells(tmp_path, folder):
    from stl_backbones.onnx_export.export import export_onnx

    torch.manual_seed(0)
    network = timm.create_model("fan_tiny_12_p16_224", num_classes=2).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    export_onnx("fan_tiny_12_p16_224", tmp_path / "w.pth", tmp_path / "f.onnx", size=(224, 224))
    of_file = cells_of(tmp_path / "f.onnx", folder, tmp_path / "file")
    assert_same_images(cells_of(network, folder, tmp_path / "torch"), of_file)


def test_a_segmentation_network_and_its_file_give_the_same_maps(
    tmp_path, mini_checkpoint, repo_root, picture
):
    from stl_backbones.onnx_export.export import export_onnx
    from stl_backbones.onnx_export.sources import open_source

    pytest.importorskip("onnxscript")
    config = repo_root / "configs/seg/stl_fan_t_mini.py"
    export_onnx(config, mini_checkpoint, tmp_path / "s.onnx", size=(32, 64))
    source = open_source(str(config), mini_checkpoint)
    mean, std = ([v / 255 for v in values] for values in (source.mean, source.std))
    given = Given(task="segmentation", size=(32, 64), mean=mean, std=std, name="mini")
    network = open_model(source.network.cpu().eval(), given, SweepOptions())
    file = opened(str(tmp_path / "s.onnx"), "segmentation")
    assert file.classes == source.classes
    (expected,), (found,) = predict(network, picture), predict(file, picture)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


# -------------------------------------------------------------------- bad files and words


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing says how the images of '.*' are normalised: give mean and std"),
        ({**PLAIN, "size": 9}, r"takes images of 8 x 8 \(height x width\), got size 9"),
        ({**PLAIN, "decoder": "yolox"}, "decoder yolox makes boxes; the data are for class"),
        ({"task": "detection"}, "nothing says how the outputs of '.*' become boxes: give decoder"),
        ({"task": "detection", "decoder": "yolo8"}, "unknown decoder 'yolo8'; did you mean yolov8"),
    ],
)
def test_what_must_be_said_is_asked_for(tmp_path, given, message):
    path = averages(tmp_path / "a.onnx", [1, 3, 8, 8])
    with pytest.raises((InputError, UnknownNameError), match=message) as caught:
        opened(path, **{"task": "classification", **given})
    assert "\n" not in str(caught.value)


def test_inputs_that_are_no_images_are_refused(tmp_path):
    two = [("image", FLOAT, [1, 3, 8, 8]), ("scale", FLOAT, [1, 3, 8, 8])]
    nodes = [helper.make_node("Add", ["image", "scale"], ["logits"])]
    path = write(tmp_path / "a.onnx", nodes, two, [("logits", FLOAT, [1, 3, 8, 8])])
    with pytest.raises(
        InputError, match=r"has 2 inputs \(image, scale\); expected one, the images"
    ):
        opened(path, "segmentation", **PLAIN)
    with pytest.raises(InputError, match=r"takes \[1, 1, 8, 8\]; expected images of 3 channels"):
        opened(identity(tmp_path / "b.onnx", [1, 1, 8, 8]), "segmentation", **PLAIN)
    with pytest.raises(InputError, match=r"takes tensor\(int64\) \[1, 3, 8, 8\]; expected images"):
        opened(identity(tmp_path / "c.onnx", [1, 3, 8, 8], INT64), "segmentation", **PLAIN)
    with pytest.raises(InputError, match="as they are: leave out mean and std"):
        opened(averages(tmp_path / "d.onnx", [1, 3, 8, 8], UINT8), **PLAIN)


def test_files_that_cannot_be_run_are_refused(tmp_path):
    path = averages(tmp_path / "a.onnx", [1, 3, 8, 8])
    with pytest.raises(MissingFileError, match=r"ONNX file '.*gone.onnx' does not exist"):
        opened(str(tmp_path / "gone.onnx"), **PLAIN)
    whole = (tmp_path / "a.onnx").read_bytes()
    for content in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), whole[: len(whole) // 2]):
        (tmp_path / "b.onnx").write_bytes(content)
        with pytest.raises(InputError, match="is no ONNX file"):
            opened(str(tmp_path / "b.onnx"), **PLAIN)
    model = onnx.load(path)
    model.opset_import[0].version = 999
    onnx.save(model, path)
    with pytest.raises(
        InputError, match=r"onnxruntime .* cannot run '.*a.onnx': .*pset 999"
    ) as caught:
        opened(path, **PLAIN)
    assert "\n" not in str(caught.value)


def test_names_that_are_no_text_outputs_that_are_none_and_sizes_that_are_too_large(tmp_path):
    averages(tmp_path / "a.onnx", [1, 3, 8, 8])
    whole = (tmp_path / "a.onnx").read_bytes()
    (tmp_path / "b.onnx").write_bytes(whole.replace(b"image", b"\xffmage"))
    with pytest.raises(InputError, match=r"cannot run '.*b\.onnx': .* can't decode byte 0xff"):
        opened(str(tmp_path / "b.onnx"), **PLAIN)
    model = onnx.load_from_string(whole)
    del model.graph.output[:]
    onnx.save(model, tmp_path / "c.onnx")
    with pytest.raises(InputError, match=r"'.*c\.onnx' has no outputs"):
        opened(str(tmp_path / "c.onnx"), **PLAIN)
    wide = averages(tmp_path / "d.onnx", [1, 3, 65536, 65536])
    with pytest.raises(InputError, match="65536 x 65536 are more than 67108864 pixels"):
        opened(wide, **PLAIN)


STATED = {"stl_backbones_version": "1", "channel_order": "RGB", "mean": "[0, 0, 0]",
          "std": "[1, 1, 1]", "classes": '["a", "b", "c"]'}  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [{"mean": None}, {"mean": "[0, "}, {"mean": "3"}, {"mean": '["0", "0", "0"]'},
     {"mean": "[NaN, 0, 0]"}, {"std": "[]"}, {"mean": "[" * 10_000}, {"std": "[1e400, 1, 1]"},
     {"classes": "null"}, {"classes": "[1, 2, 3]"}, {"crop_pct": "much"}],
)  # fmt: skip
def test_metadata_of_the_export_that_are_others_are_refused(tmp_path, other):
    found = {name: value for name, value in {**STATED, **other}.items() if value is not None}
    path = averages(tmp_path / "a.onnx", [1, 3, 8, 8], **found)
    with pytest.raises(InputError, match=r"a\.onnx' says that tools/export_onnx\.py wrote it"):
        opened(path)
    assert opened(averages(tmp_path / "b.onnx", [1, 3, 8, 8], **STATED)).classes == ("a", "b", "c")


def test_another_size_of_the_users_own_preparation_is_named(tmp_path):
    path = averages(tmp_path / "a.onnx", [1, 3, 8, 8])
    model = opened(path, preprocess=lambda image: np.zeros((3, 9, 9), np.float32))
    with pytest.raises(
        InputError, match=r"takes images \(3, 8, 8\) float32, preprocess gives \(3, 9"
    ):
        predict(model, np.zeros((8, 8, 3), np.uint8))


def test_numbers_that_are_none_are_refused(tmp_path, folder):
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["logits"]),
    ]
    weights = [("w", np.full((3, 2), np.nan, np.float32))]
    shapes = [("image", FLOAT, [1, 3, 8, 8])], [("logits", FLOAT, [1, 2])]
    path = write(tmp_path / "a.onnx", nodes, *shapes, weights)
    with pytest.raises(InputError, match="not finite"):
        cells_of(path, folder, tmp_path / "out", **PLAIN)
