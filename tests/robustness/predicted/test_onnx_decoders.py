"""Decoders on hand-made outputs, against loops that follow the papers' words."""

import math

import numpy as np
import pytest

from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.robustness.predicted.onnx_decoders import DECODERS, find_decoder, suppress
from stl_backbones.robustness.predicted.onnx_input import Fit

SIZE = (64, 96)  # height, width


def decode(name, value, size=SIZE):
    outputs = value if isinstance(value, dict) else {"output": value}
    return DECODERS[name].decode(outputs, size)


def blank(columns, strides, size=SIZE):
    """An output of zeros, and where the cell of a stride, row and column is in it."""
    places, start = {}, 0
    for stride in strides:
        rows, cols = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        for row in range(rows):
            for col in range(cols):
                places[stride, row, col] = start + row * cols + col
        start += rows * cols
    return np.zeros((1, start, columns), np.float32), places


def greedy(boxes, scores, iou):
    """Non-maximum suppression of one class, by its definition."""
    order, kept = list(np.argsort(-scores)), []
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [one for one in order if overlap(boxes[best], boxes[one]) <= iou]
    return kept


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_suppression_is_within_each_class():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 40, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 30, (60, 2))], axis=1)
    scores = rng.uniform(0, 1, (60, 3)).astype(np.float32)
    found = suppress(boxes, scores, least=0.2, iou=0.4)
    expected = []
    for label in range(3):
        own = np.flatnonzero(scores[:, label] > 0.2)
        kept = own[greedy(boxes[own], scores[own, label], 0.4)]
        expected += [(scores[n, label], label, *boxes[n]) for n in kept]
    expected.sort(key=lambda one: -one[0])
    got = np.column_stack([found.scores, found.labels, found.boxes])
    np.testing.assert_allclose(got, np.array(expected), rtol=1e-5)


def test_yolox_reads_offsets_in_cells_and_logarithms():
    value, places = blank(5 + 2, (8, 16, 32))
    # Stride 16, row 2, column 3: its centre is half a cell right and a quarter down of the corner.
    value[0, places[16, 2, 3]] = [0.5, 0.25, math.log(2), math.log(1.5), 0.8, 0.1, 0.9]
    value[0, places[8, 0, 11]] = [0, 0.5, 0, math.log(0.5), 0.5, 0.6, 0.2]
    found = decode("yolox", value)
    np.testing.assert_allclose(
        found.boxes,
        [[56 - 16, 36 - 12, 56 + 16, 36 + 12], [88 - 4, 4 - 2, 88 + 4, 4 + 2]],
        rtol=1e-5,
    )
    np.testing.assert_allclose(found.scores, [0.72, 0.3], rtol=1e-6)
    assert found.labels.tolist() == [1, 0]


def test_yolox_of_four_levels():
    value, places = blank(5 + 1, (8, 16, 32, 64), (128, 128))
    value[0, places[64, 1, 0]] = [0.5, 0.5, 0, 0, 1, 1]
    np.testing.assert_allclose(decode("yolox", value, (128, 128)).boxes, [[0, 64, 64, 128]])


def test_nanodet_reads_means_of_distributions():
    classes, strides = 3, (8, 16, 32, 64)
    value, places = blank(classes + 32, strides)
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 8))
    value[0, places[16, 2, 4]] = [0.1, 0.04, 0.7, *logits.ravel()]
    left, top, right, bottom = (
        16 * sum(k * math.exp(v) for k, v in enumerate(side)) / sum(math.exp(v) for v in side)
        for side in logits
    )
    found = decode("nanodet", value)
    box = np.array([64 - left, 32 - top, 64 + right, 32 + bottom]).clip(0, (96, 64, 96, 64))
    assert found.labels.tolist() == [2, 0]  # a box may be of several classes
    np.testing.assert_allclose(found.scores, [0.7, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [box, box], rtol=1e-5)


def test_yolov8_and_yolov5_read_centres_and_sides():
    v8 = np.zeros((1, 4 + 3, 40), np.float32)
    v8[0, :, 7] = [30, 20, 10, 6, 0, 0.9, 0.3]
    found = decode("yolov8", v8)
    np.testing.assert_allclose(found.boxes, [[25, 17, 35, 23]] * 2)
    assert found.labels.tolist() == [1, 2]
    v5 = np.zeros((1, 40, 5 + 3), np.float32)
    v5[0, 7] = [30, 20, 10, 6, 0.5, 0, 0.9, 0]
    found = decode("yolov5", v5)
    np.testing.assert_allclose(found.boxes, [[25, 17, 35, 23]])
    np.testing.assert_allclose(found.scores, [0.45], rtol=1e-6)


@pytest.mark.parametrize("names", [("boxes", "labels", "scores"), ("12", "34", "56")])
def test_torchvisions_outputs_by_name_or_shape(names):
    values = [np.array([[1, 2, 3, 4]], np.float32), np.array([5]), np.array([0.5], np.float32)]
    found = decode("torchvision", dict(zip(names, values, strict=True)))
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[1, 2, 3, 4]], [5])
    assert found.masks is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("yolox", np.zeros((1, 84, 8400)), "expects 126 boxes of an input of 64x96, got 84"),
        ("yolox", np.zeros((1, 3, 6, 6)), r"expects \(1, N, 5 \+ K\), the file gives outpu"),
        ("nanodet", np.zeros((1, 100, 20)), r"expects \(1, N, K \+ 32\), the file gives"),
        ("yolov8", np.zeros((1, 8400, 84)), "84 boxes of 8400 numbers; which detector"),
        ("yolov5", np.zeros((1, 84, 8400)), "84 boxes of 8400 numbers; which detector"),
        ("torchvision", np.zeros((1, 84, 8400)), "expects boxes, labels and scores, the file gi"),
        ("torchvision", {"boxes": np.zeros((2, 4)), "a": np.zeros(2)}, "expects boxes .* and scor"),
    ],
)  # fmt: skip
def test_other_families_outputs_are_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        decode(name, value)


@pytest.mark.parametrize("name", ["yolov8", "yolov5"])
def test_numbers_that_are_none_are_refused_rather_than_left_out(name):
    value = np.full((1, 9, 9), np.nan, np.float32)
    with pytest.raises(InputError, match="not finite"):
        decode(name, value)


def test_an_unknown_decoder_is_told_what_there_is():
    with pytest.raises(UnknownNameError, match=r"did you mean yolov8.*or a function"):
        find_decoder("yolo_v8")


# -------------------------------------------------------------------- where images lie


def test_a_padded_image_lies_where_its_boxes_come_back_from():
    image = np.zeros((30, 60, 3), np.uint8)
    image[10:20, 40:50] = 255
    found = []
    for kind in ("stretch", "corner", "centre"):
        fit = Fit(kind, (128, 128))
        left, top, width, height = fit.place((30, 60))
        if kind != "stretch":
            padded = fit.padded(image)
            rows, columns = np.nonzero((padded > 200).all(axis=2))
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            back = fit.back(_one(box), (30, 60)).boxes[0]
            np.testing.assert_allclose(back, [40, 10, 50, 20], atol=0.5)
            assert (padded[top + height :] == 114).all()
        found.append((left, top, width, height))
    # By hand: 128 / 60 = 2.133; 30 * 2.133 = 64.
    assert found == [(0, 0, 128, 128), (0, 0, 128, 64), (0, 32, 128, 64)]


def test_boxes_end_at_the_images_edge_and_masks_come_to_its_size():
    mask = np.zeros((1, 1, 20, 40), np.float32)
    mask[..., 20:] = 1
    back = Fit("stretch", (20, 40)).back(_one([-5, 0, 60, 10], mask), (40, 80))
    assert back.boxes.tolist() == [[0, 0, 80, 20]]
    assert back.masks.shape == (1, 40, 80)
    assert back.masks[0, :, 41:].all()
    assert not back.masks[0, :, :39].any()


def _one(box, masks=None):
    from stl_backbones.robustness.predictor import Detections

    return Detections(np.array([box], float), np.array([0.9]), np.array([0]), masks)
