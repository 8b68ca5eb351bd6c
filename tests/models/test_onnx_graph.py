"""The ONNX graph of small networks, and differences computed by hand."""

import importlib.util
from unittest import mock

import pytest
import torch
from torch import nn

from stl_backbones.errors import MissingPackageError
from stl_backbones.models.onnx_graph import (
    DEFAULT_OPSET,
    OPSETS,
    check_onnx_installed,
    largest_difference,
    make_graph,
)

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

IMAGE = torch.tensor([[[[1.0, -4.0]], [[3.0, 2.0]]]])  # (1, 2, 1, 2)


class Twice(nn.Module):
    def forward(self, image):
        return 2 * image


class Class(nn.Module):
    def forward(self, image):
        return image.argmax(dim=1)


@pytest.fixture(scope="module")
def twice():
    return make_graph(Twice().eval(), IMAGE, outputs=["out"])


def test_the_graph_has_names_shapes_and_opset(twice):
    (entry,) = (entry for entry in twice.opset_import if not entry.domain)
    assert entry.version == DEFAULT_OPSET
    for value, name in ((twice.graph.input[0], "image"), (twice.graph.output[0], "out")):
        assert value.name == name
        assert [side.dim_value for side in value.type.tensor_type.shape.dim] == [1, 2, 1, 2]


def test_the_graph_holds_no_path_of_a_source_file(twice):
    assert b".py" not in twice.SerializeToString()


def test_same_values_differ_by_nothing(twice):
    assert largest_difference(twice.SerializeToString(), IMAGE, {"out": 2 * IMAGE}) == {"out": 0}


def test_a_difference_is_a_share_of_the_largest_value(twice):
    expected = 2 * IMAGE
    expected[0, 0, 0, 1] = -10  # the file says -8
    found = largest_difference(twice.SerializeToString(), IMAGE, {"out": expected})
    assert found == {"out": pytest.approx(0.2)}


def test_a_wrong_label_counts_as_far_as_its_logit_is_off():
    graph = make_graph(Class().eval(), IMAGE, outputs=["out"]).SerializeToString()
    assert largest_difference(graph, IMAGE, {"out": IMAGE}) == {"out": 0}
    logits = IMAGE.clone()
    logits[0, :, 0, 0] = torch.tensor([5.0, 4.0])  # the file chose class 1 for [1, 3]
    assert largest_difference(graph, IMAGE, {"out": logits}) == {"out": pytest.approx(0.2)}


def test_values_that_are_not_finite_are_no_match(twice):
    image = torch.full_like(IMAGE, torch.nan)
    found = largest_difference(twice.SerializeToString(), image, {"out": 2 * image})
    assert not found["out"] <= 1


def test_another_shape_is_refused(twice):
    with pytest.raises(ValueError, match=r"'out' has shape \(1, 2, 1, 2\) instead of \(1, 2, 2\)"):
        largest_difference(twice.SerializeToString(), IMAGE, {"out": IMAGE[:, :, 0]})


def test_onnxruntime_says_in_one_line_that_it_cannot_run_a_file():
    with pytest.raises(ValueError, match=r"^onnxruntime [\d.]+ cannot run the file: .*$"):
        largest_difference(b"no graph", IMAGE, {"out": IMAGE})


@pytest.mark.parametrize("opset", OPSETS)
def test_the_oldest_and_the_newest_opset_are_written(opset):
    graph = make_graph(Twice().eval(), IMAGE, outputs=["out"], opset=opset)
    assert [entry.version for entry in graph.opset_import if not entry.domain] == [opset]


@pytest.mark.parametrize("opset", [17, 26])
def test_other_opsets_are_refused(opset):
    with pytest.raises(ValueError, match=rf"opset must be in 18\.\.25, got {opset}"):
        make_graph(Twice(), IMAGE, outputs=["out"], opset=opset)


def test_weights_above_protobufs_limit_are_refused():
    network = nn.Linear(2**16, 2**14, bias=False, device="meta")
    with pytest.raises(ValueError, match=r"2 GiB at most, the weights take 4\.0"):
        make_graph(network, IMAGE, outputs=["out"])


def test_a_network_that_cannot_be_written_is_one_line(capfd):
    class Wild(nn.Module):
        def forward(self, image):
            return image if image.sum() > 0 else -image

    with pytest.raises(ValueError, match=r"^torch cannot write the network as ONNX: \S.*$"):
        make_graph(Wild().eval(), IMAGE, outputs=["out"])
    assert capfd.readouterr() == ("", "")


def test_missing_packages_are_named():
    find = importlib.util.find_spec
    with (
        mock.patch(
            "stl_backbones.packages.find_spec",
            lambda name: None if name == "onnxscript" else find(name),
        ),
        pytest.raises(MissingPackageError, match=r"needs onnxscript: pip install '\.\[onnx\]'"),
    ):
        check_onnx_installed()
    with (
        mock.patch.object(torch, "__version__", torch.torch_version.TorchVersion("2.5.1")),
        pytest.raises(ValueError, match=r"needs torch 2\.11 or newer, got 2\.5\.1"),
    ):
        check_onnx_installed()
    with (
        mock.patch("stl_backbones.packages.find_spec", return_value=None),
        pytest.raises(MissingPackageError, match="needs onnx, onnxscript, onnxruntime"),
    ):
        check_onnx_installed()
