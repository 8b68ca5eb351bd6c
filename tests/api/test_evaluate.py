"""Any model on any data in one call: right numbers, and one line for what cannot be right."""

import json
import logging
import shutil

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from toys import COLOURS, box_of, nearest, squares

import stl_backbones as stl
from stl_backbones.api.words import python_words
from stl_backbones.copies.request import GenerateOptions, make_copy, plan_copy
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.metrics.light import brightness_and_contrast
from stl_backbones.records import CLEAN, Cell, CorruptionEngine
from stl_backbones.results import CellStore

pytest.importorskip("pandas")

CHOSEN = {"corruptions": ["contrast"], "severities": [5], "mode": "fast", "progress": False,
          "workers": 0}  # fmt: skip
NAMES = ("ground", "leaf", "brick")


def labels(images):
    return [nearest(image) for image in images]


def boxes(images):
    found = [box_of(nearest(image)) for image in images]
    return [stl.Detections(box, np.ones(len(box)), one) for box, one in found]


def classes(images):
    """Logits: how much of each colour there is."""
    return [np.bincount(nearest(image).ravel(), minlength=3)[1:] / 100 for image in images]


def scores(result, metric):
    cells = result.cells(resamples=0)
    return cells[cells["metric"] == metric].set_index("corruption")["value"]


def test_segmentation(maps, tmp_path):
    result = stl.evaluate(labels, maps, classes=NAMES, work_dir=tmp_path / "s", version="1",
                          **CHOSEN)  # fmt: skip
    found = scores(result, "miou")
    assert found["clean"] == 1
    assert found["contrast"] < 0.9
    assert result.table().loc["labels", "clean_miou_fraction"] == 1
    _image, label = squares(0)
    first = CellStore(tmp_path / "s").read(CLEAN).samples["confusion_matrix"][0]
    assert first.tolist() == np.diag(np.bincount(label.ravel(), minlength=3)).tolist()


def test_the_images_of_a_list(coco, maps, folders, tmp_path):
    """Whatever the data are, a list takes its images from all of them, and a limit from these."""
    for name, model, data, more in (
        ("maps", labels, maps, {"classes": NAMES}), ("coco", boxes, coco, {}),
        ("folders", classes, folders, {"allow_missing": True}),
    ):  # fmt: skip
        plain = {"version": "1", **CHOSEN, "corruptions": "none", "severities": None, **more}
        stl.evaluate(model, data, work_dir=tmp_path / name / "all", **plain)
        whole = CellStore(tmp_path / name / "all").read(CLEAN)
        (tmp_path / "ids.txt").write_text("\n".join(whole.image_ids[:0:-1]))
        stl.evaluate(model, data, work_dir=tmp_path / name / "some", limit=1,
                     image_list=tmp_path / "ids.txt", **plain)  # fmt: skip
        some = CellStore(tmp_path / name / "some").read(CLEAN)
        assert some.image_ids == whole.image_ids[1:2]
        record = some.provenance
        assert record.image_list.startswith("ids.txt sha256 ")
        assert (record.num_images, record.num_images_total) == (1, len(whole.image_ids))
        assert record.dataset_fingerprint != whole.provenance.dataset_fingerprint


def test_detection(coco, tmp_path):
    result = stl.evaluate(boxes, coco, work_dir=tmp_path / "s", version="1", **CHOSEN)
    assert scores(result, "box_ap")["clean"] == pytest.approx(1)
    assert result.provenance[0].inference == "boxes"


def test_classification(folders, tmp_path):
    result = stl.evaluate(classes, folders, classes=["leaf", "brick"], work_dir=tmp_path / "s",
                          version="1", **CHOSEN)  # fmt: skip
    assert scores(result, "top1")["clean"] == 1
    assert "whole images" in result.provenance[0].inference


def test_images_corrupted_in_batches_reach_a_model_one_by_one(folders, tmp_path):
    """Mode 'torch' corrupts a classifier's images together; a model prepares each by itself."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2)).eval()
    options = {**CHOSEN, "classes": ["leaf", "brick"], "size": 32, "mean": [0.5], "std": [0.5],
               "corruptions": ["contrast"]}  # fmt: skip
    found = [
        stl.evaluate(network, folders, work_dir=tmp_path / mode, **{**options, "mode": mode})
        for mode in ("torch", "fast")
    ]
    torch_nll, fast_nll = (scores(one, "nll")["contrast"] for one in found)
    assert torch_nll == pytest.approx(fast_nll, abs=1e-2)


@pytest.mark.parametrize("form", ["scores", "torch", "low"])
def test_class_scores_of_pixels_are_a_label_map(form, maps, tmp_path):
    def predict(images):
        found = [np.eye(3, dtype=np.float32)[nearest(image)].transpose(2, 0, 1) for image in images]
        if form == "low":  # resized to the image here
            found = [one[:, ::2, ::2] for one in found]
        return [torch.from_numpy(one) for one in found] if form == "torch" else found

    result = stl.evaluate(predict, maps, classes=NAMES, work_dir=tmp_path / "s", **CHOSEN)
    clean = scores(result, "miou")["clean"]
    assert 0.9 < clean < 1 if form == "low" else clean == 1


def test_how_sure_a_model_is_of_its_pixels(maps, tmp_path):
    """Logits of 3 and 0: a confidence of e^3 / (e^3 + 2), and all pixels of clean images right."""

    def predict(images):
        return [3 * np.eye(3)[nearest(image)].transpose(2, 0, 1) - 1 for image in images]

    named = {"classes": NAMES, "version": "1", **CHOSEN}
    sure = stl.evaluate(predict, maps, work_dir=tmp_path / "s", **named)
    assert scores(sure, "ece")["clean"] == pytest.approx(1 - np.exp(3) / (np.exp(3) + 2), abs=2e-5)
    assert 0 < scores(sure, "ece")["contrast"] < 1
    assert scores(stl.evaluate(labels, maps, work_dir=tmp_path / "l", **named), "ece").empty


def test_the_clean_cell_keeps_what_reports_cut_by(maps, tmp_path):
    result = stl.evaluate(labels, maps, classes=NAMES, work_dir=tmp_path / "s", version="1",
                          **CHOSEN)  # fmt: skip
    clean, other = (CellStore(tmp_path / "s").read(one).samples
                    for one in (CLEAN, Cell("contrast", 5)))  # fmt: skip
    expected = [brightness_and_contrast(squares(index)[0]) for index in range(4)]
    assert np.allclose(np.stack([clean["brightness"], clean["contrast"]], axis=1), expected)
    assert "brightness" not in other
    files = result.report(tmp_path / "out", slices="brightness")
    assert "Slices by brightness" in (files.folder / "report.md").read_text()


def test_a_models_own_class_names_decide_the_order(maps, coco, folders, tmp_path):
    class Turned:
        version = "1"

        def __init__(self, predict, names):
            self._predict, self.classes = predict, names

        def predict(self, images):
            return self._predict(images)

    seg = Turned(lambda images: [2 - one for one in labels(images)], NAMES[::-1])
    result = stl.evaluate(seg, maps, classes=NAMES, work_dir=tmp_path / "seg", **CHOSEN)
    assert scores(result, "miou")["clean"] == 1
    det = Turned(
        lambda images: [stl.Detections(d.boxes, d.scores, 2 - d.labels) for d in boxes(images)],
        ("sky", "brick", "leaf"),
    )
    result = stl.evaluate(det, coco, work_dir=tmp_path / "det", **CHOSEN)
    assert scores(result, "box_ap")["clean"] == pytest.approx(1)
    cls = Turned(lambda images: [one[::-1].copy() for one in classes(images)], ("brick", "leaf"))
    result = stl.evaluate(cls, folders, work_dir=tmp_path / "cls", **CHOSEN)
    assert scores(result, "top1")["clean"] == 1


def test_probabilities_are_known_by_their_sum(folders, tmp_path):
    def probabilities(images):
        return [torch.tensor(one).softmax(0).numpy() for one in classes(images)]

    named = {"classes": ["leaf", "brick"], "version": "1", **CHOSEN}
    first = stl.evaluate(classes, folders, work_dir=tmp_path / "a", **named)
    second = stl.evaluate(probabilities, folders, work_dir=tmp_path / "b", **named)
    one, other = (CellStore(tmp_path / n).read(Cell("contrast", 5)).samples for n in "ab")
    assert np.allclose(one["nll"], other["nll"], atol=1e-5)
    assert "probabilities" in second.provenance[0].inference
    assert "logits" in first.provenance[0].inference


def test_a_second_call_predicts_nothing_anew(maps, tmp_path):
    calls = []

    def predict(images):
        calls.append(len(images))
        return labels(images)

    named = {"classes": NAMES, "version": "1", "name": "counted", **CHOSEN}
    stl.evaluate(predict, maps, work_dir=tmp_path / "s", **named)
    whole = sum(calls)
    calls.clear()
    stl.evaluate(predict, maps, work_dir=tmp_path / "s", **named)
    assert whole >= 8
    assert sum(calls) <= 2


def test_another_version_does_not_get_the_first_ones_scores(maps, tmp_path):
    named = {"classes": NAMES, "work_dir": tmp_path / "s", **CHOSEN}
    stl.evaluate(labels, maps, version="1", **named)
    with pytest.raises(InputError, match=r"version of the model.*choose another work_dir"):
        stl.evaluate(labels, maps, version="2", **named)


def test_a_model_without_a_version_says_so_in_every_table(maps, tmp_path):
    result = stl.evaluate(labels, maps, classes=NAMES, work_dir=tmp_path / "s", **CHOSEN)
    files = result.report(tmp_path / "out")
    for name in ("report.md", "table.tex", "index.html", "cells.csv"):
        assert "UNVERIFIED MODEL" in (files.folder / name).read_text()


class Coloured(nn.Module):
    """Class scores of the pixels, by a convolution."""

    def __init__(self, wrap=lambda output: output):
        super().__init__()
        colours = torch.tensor(COLOURS, dtype=torch.float32) / 255
        self.match = nn.Conv2d(3, 3, 1)
        self.match.weight.data = 2 * colours[..., None, None]
        self.match.bias.data = -(colours**2).sum(1)
        self.wrap = wrap

    def forward(self, images):
        return self.wrap(self.match(images))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda out: out,
        lambda out: {"out": out, "aux": out},
        lambda out: type("Output", (), {"logits": out})(),
        lambda out: out.argmax(1),
    ],
)
def test_a_modules_output_is_read_by_its_shape(wrap, maps, tmp_path):
    result = stl.evaluate(
        Coloured(wrap).eval(), maps, classes=NAMES, mean=[0], std=[1], work_dir=tmp_path / "s",
        **CHOSEN,
    )  # fmt: skip
    assert scores(result, "miou")["clean"] == 1
    assert len(result.provenance[0].checkpoint_sha256) == 64


def test_a_timm_model_is_the_same_by_name_and_as_a_module(folders, tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=2).eval()
    with torch.no_grad():
        network.fc.weight.normal_()
    weights = tmp_path / "weights.pth"
    torch.save(network.state_dict(), weights)
    named = {"corruptions": ["fog", "impulse_noise"], "severities": [2], "progress": False,
             "classes": ["leaf", "brick"]}  # fmt: skip
    stl.evaluate("timm:resnet10t", folders, checkpoint=weights, work_dir=tmp_path / "a",
                 **{**named, "classes": names_file(tmp_path)})  # fmt: skip
    stl.evaluate(network, folders, work_dir=tmp_path / "b", **named)
    for cell in (CLEAN, Cell("fog", 2), Cell("impulse_noise", 2)):
        one, other = (CellStore(tmp_path / n).read(cell).samples for n in "ab")
        apart = np.abs(one["confidence"] - other["confidence"])
        assert apart.max() < 1e-4
        assert ((one["prediction"] == other["prediction"]) | (one["confidence"] < 0.5001)).all()


def names_file(folder):
    path = folder / "names.txt"
    path.write_text("leaf\nbrick\n")
    return path


def half(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def test_a_preprocess_function_is_known_by_its_name(maps, tmp_path):
    named = {"classes": NAMES, "work_dir": tmp_path / "s", "preprocess": half, **CHOSEN}
    result = stl.evaluate(Coloured().eval(), maps, **named)
    assert scores(result, "miou")["clean"] == 1
    assert "0x" not in result.provenance[0].inference
    stl.evaluate(Coloured().eval(), maps, **named)


def test_images_of_a_sequence_are_cropped_as_those_of_class_folders(folders, tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=2).eval()
    files = sorted(folders.rglob("*.png"))
    pairs = [(Image.open(file), int(file.parent.name == "brick")) for file in files]
    named = {"classes": ["leaf", "brick"], **CHOSEN, "corruptions": []}
    stl.evaluate(network, pairs, ids=[f"{f.parent.name}/{f.name}" for f in files],
                 work_dir=tmp_path / "a", **named)  # fmt: skip
    stl.evaluate(network, folders, work_dir=tmp_path / "b", **named)
    one, other = (CellStore(tmp_path / n).read(CLEAN) for n in "ab")
    order = [other.image_ids.index(key) for key in one.image_ids]
    assert np.array_equal(one.samples["nll"], other.samples["nll"][order])


def test_a_copy_on_disk_gives_the_same_cells(maps, tmp_path):
    options = GenerateOptions(
        "folder", corruptions=["contrast"], severities=[5], engine=CorruptionEngine("fast")
    )
    make_copy(plan_copy(maps[0], tmp_path / "copy", options), tmp_path / "copy")
    named = {"classes": NAMES, "version": "1", **CHOSEN}
    stl.evaluate(labels, maps, work_dir=tmp_path / "a", **named)
    stl.evaluate(labels, maps, work_dir=tmp_path / "b", corrupted_root=tmp_path / "copy", **named)
    one, other = (CellStore(tmp_path / n).read(Cell("contrast", 5)) for n in "ab")
    assert np.array_equal(*(r.samples["confusion_matrix"] for r in (one, other)))


def test_workers_give_the_same_cells(maps, tmp_path):
    named = {"classes": NAMES, "version": "1", **CHOSEN}
    stl.evaluate(labels, maps, work_dir=tmp_path / "a", **named)
    stl.evaluate(labels, maps, work_dir=tmp_path / "b", **{**named, "workers": 2})
    files = [{p.name: p.read_bytes() for p in (tmp_path / n / "cells").iterdir()} for n in "ab"]
    assert files[0] == files[1]


class TestRefused:
    """One line for each."""

    def check(self, data, words, model, tmp_path, **named):
        options = {**CHOSEN, **named}
        with pytest.raises(InputError, match=words) as caught:
            stl.evaluate(model, data, work_dir=tmp_path / "s", **options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("result", "words"),
        [
            (np.zeros((48, 63), int), r"label map is \(48, 63\), the image \(48, 64\)"),
            (np.full((48, 64), 3), r"holds 3\.\.3, the model has 3 classes"),
            (np.zeros((48, 64)), "expected a label map"),
            (np.zeros((2, 48, 64)), "expected scores of 3 classes"),
            (np.full((3, 48, 64), np.nan), "not finite"),
            ("a", "expected a label map"),
        ],
    )
    def test_label_maps(self, result, words, maps, tmp_path):
        self.check(maps, words, lambda images: [result] * len(images), tmp_path, classes=NAMES)

    @pytest.mark.parametrize(
        ("result", "words"),
        [
            (np.array([1.0, 2.0, 3.0]), "the model has 3 classes|3 classes"),
            (np.array([np.nan, 1.0]), "not finite"),
        ],
    )
    def test_class_scores(self, result, words, folders, tmp_path):
        self.check(folders, words, lambda images: [result] * len(images), tmp_path,
                   classes=["leaf", "brick"])  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (((0.1, 0.1, 0.6, 0.7), 1, 0), "are they shares of it"),
            (((30, 20, 10, 12), 1, 0), "is it x, y, width, height"),
            (((1, 2, 30, 40), 1, 2), r"labels 2\.\.2"),
            (((1, 2, 30, 40), float("nan"), 0), "not finite"),
            (((1, 2, 30, 40), 1, 0.0), "labels, integers"),
        ],
    )
    def test_detections(self, given, words, coco, tmp_path):
        box, score, label = given
        found = stl.Detections(np.array([box], float), np.array([score]), np.array([label]))
        self.check(coco, words, lambda images: [found] * len(images), tmp_path)

    def test_another_kind_of_result(self, coco, tmp_path):
        self.check(coco, "expected stl_backbones.Detections", labels, tmp_path)

    def test_fewer_results_than_images(self, folders, tmp_path):
        self.check(folders, "returned 1 results for", lambda images: classes(images)[:1], tmp_path,
                   classes=["leaf", "brick"])  # fmt: skip

    def test_a_model_that_fails(self, maps, tmp_path):
        def predict(images):
            raise RuntimeError("no memory\nat all")

        self.check(maps, "model 'predict' fails on .*RuntimeError: no memory at all", predict,
                   tmp_path, classes=NAMES)  # fmt: skip

    def test_a_module_in_training_mode(self, maps, tmp_path):
        self.check(maps, "in training mode", Coloured(), tmp_path, classes=NAMES, mean=[0], std=[1])

    def test_a_module_that_says_nothing_of_its_images(self, maps, folders, tmp_path):
        self.check(maps, "give mean and std", Coloured().eval(), tmp_path, classes=NAMES)
        self.check(folders, "give size", Coloured().eval(), tmp_path, mean=[0], std=[1])

    def test_a_detector_whose_labels_nothing_names(self, coco, tmp_path):
        self.check(coco, "nothing says which class label 0", Coloured().eval(), tmp_path)

    def test_a_module_of_another_task(self, folders, tmp_path):
        self.check(folders, r"expected a tensor \(B, K\).*got a tensor", Coloured().eval(),
                   tmp_path, mean=[0], std=[1], size=32)  # fmt: skip

    def test_a_class_in_place_of_an_object(self, maps, tmp_path):
        self.check(maps, r"expected an object of it, Coloured\(", Coloured, tmp_path, classes=NAMES)

    def test_no_model(self, maps, tmp_path):
        self.check(maps, "expected a model", 3, tmp_path, classes=NAMES)

    def test_a_model_that_lacks_a_class(self, maps, tmp_path):
        words = "has no class brick.*names: model_classes=FILE$"
        self.check(maps, words, labels, tmp_path, classes=NAMES,
                   model_classes=["ground", "leaf", "tree"])  # fmt: skip

    def test_a_model_with_a_class_more(self, maps, tmp_path):
        self.check(maps, r"classes that the data set lacks \(sky\)", labels, tmp_path,
                   classes=NAMES, model_classes=["sky", *NAMES])  # fmt: skip

    def test_another_task_than_the_datas(self, maps, tmp_path):
        self.check(maps, "the data are for segmentation", labels, tmp_path, classes=NAMES,
                   task="detection")  # fmt: skip

    def test_an_argument_that_is_none(self, maps, tmp_path):
        with pytest.raises(UnknownNameError, match="batch_size"):
            stl.evaluate(labels, maps, work_dir=tmp_path, classes=NAMES, batchsize=2)


def test_a_model_whose_results_depend_on_the_batch_is_said(folders, tmp_path, caplog):
    def predict(images):
        return [one + (len(images) > 1) * np.array([0.0, 3.0]) for one in classes(images)]

    with caplog.at_level(logging.WARNING):
        result = stl.evaluate(predict, folders, classes=["leaf", "brick"], work_dir=tmp_path / "s",
                              **CHOSEN)  # fmt: skip
    assert any("depend on the batch" in note for note in result.provenance[0].notes)
    assert "depend on the batch" in caplog.text


def test_results_are_compared_in_pairs(maps, tmp_path):
    named = {"classes": NAMES, "version": "1", **CHOSEN}
    first = stl.evaluate(labels, maps, work_dir=tmp_path / "a", name="good", **named)
    second = stl.evaluate(
        lambda images: [np.zeros_like(one) for one in labels(images)], maps,
        work_dir=tmp_path / "b", name="blind", **named,
    )  # fmt: skip
    found = stl.compare(first, second, resamples=20).loc["clean"]
    assert found["first"] == 1
    assert found["difference"] == pytest.approx(found["second"] - 1)
    assert found["low"] <= found["difference"] <= found["high"]


def test_a_result_is_loaded_again(maps, tmp_path):
    stl.evaluate(labels, maps, classes=NAMES, work_dir=tmp_path / "s", name="mine", **CHOSEN)
    shutil.move(tmp_path / "s", tmp_path / "moved")
    result = stl.load(tmp_path / "moved")
    images = result.images()
    assert len(images) == 8
    assert set(images["image"]) == {f"city/{n}.png" for n in range(4)}
    assert "mine" in result._repr_html_()
    assert "sandbox" in result._repr_html_()
    with pytest.raises(FileNotFoundError):
        stl.load(tmp_path / "s")


def test_the_cells_file_holds_plain_numbers(maps, tmp_path):
    result = stl.evaluate(labels, maps, classes=NAMES, work_dir=tmp_path / "s", **CHOSEN)
    json.dumps(result.cells(resamples=0).to_dict("records"))
    assert dict(result.cells(resamples=0).groupby("corruption")["severity"].first()) == {
        "contrast": 5, "clean": 0,
    }  # fmt: skip


def test_truth_is_read_once_for_all_cells(tmp_path):
    class Counted:
        read = 0

        def __len__(self):
            return 2

        def __getitem__(self, index):
            self.read += 1
            return squares(index)

    data = Counted()
    named = {"classes": NAMES, "version": "1", **CHOSEN, "severities": [1, 2, 3, 4, 5]}
    stl.evaluate(labels, data, work_dir=tmp_path / "s", **named)
    # Once for the fingerprint; by the trial, and by the sweep, an image and its truth each; and
    # the first one for the task.
    assert data.read <= 1 + 2 + 2 * 2 * 2


class TestFoundByAStranger:
    """What once gave a wrong number without a word, or a traceback."""

    @pytest.mark.parametrize("form", ["folders", "sequence"])
    def test_a_model_may_draw_on_its_images(self, form, maps, tmp_path):
        def draw(images):
            found = labels(images)
            for image in images:
                image[:] = 0
            return found

        data = maps if form == "folders" else [squares(index) for index in range(4)]
        named = {"classes": NAMES, "version": "1", "name": "one", **CHOSEN}
        stl.evaluate(labels, data, work_dir=tmp_path / "a", **named)
        stl.evaluate(draw, data, work_dir=tmp_path / "b", **named)
        for cell in (CLEAN, Cell("contrast", 5)):
            one, other = (CellStore(tmp_path / n).read(cell).samples for n in "ab")
            assert np.array_equal(one["confusion_matrix"], other["confusion_matrix"])

    def test_the_models_own_order_of_the_same_names_counts(self, folders, tmp_path):
        class Turned:
            version, classes = "1", ("brick", "leaf")

            def predict(self, images):
                return [one[::-1].copy() for one in classes(images)]

        result = stl.evaluate(Turned(), folders, classes=["leaf", "brick"],
                              work_dir=tmp_path / "s", **CHOSEN)  # fmt: skip
        assert scores(result, "top1")["clean"] == 1

    def test_another_text_of_the_same_name_is_another_model(self, maps, tmp_path):
        def make(label):
            def predict(images):
                return [np.full(image.shape[:2], label) for image in images]

            return predict

        named = {"classes": NAMES, "work_dir": tmp_path / "s", **CHOSEN}
        stl.evaluate(make(0), maps, **named)
        with pytest.raises(InputError, match="checkpoint_sha256"):
            stl.evaluate(make(1), maps, **named)

    def test_another_preprocess_of_the_same_name_is_another(self, maps, tmp_path):
        def make(factor):
            def prepared(image):
                return factor * half(image)

            return prepared

        named = {"classes": NAMES, "work_dir": tmp_path / "s", **CHOSEN}
        stl.evaluate(Coloured().eval(), maps, preprocess=make(1), **named)
        with pytest.raises(InputError, match="config_sha256"):
            stl.evaluate(Coloured().eval(), maps, preprocess=make(2), **named)

    def test_a_layers_numbers_are_part_of_it(self, maps, tmp_path):
        named = {"classes": NAMES, "mean": [0], "std": [1], "work_dir": tmp_path / "s", **CHOSEN}
        network = Coloured().eval()
        network.sign = 1
        stl.evaluate(network, maps, **named)
        network.sign = -1
        with pytest.raises(InputError, match="config_sha256"):
            stl.evaluate(network, maps, **named)

    @pytest.mark.parametrize(
        ("pairs", "words"),
        [
            ([(np.zeros((40, 40, 3), np.uint8), 2)], "has label 2, there are 2 classes"),
            ([(np.zeros((40, 40, 3), np.uint8), -1)], "has label -1"),
            ([(np.zeros((40, 40, 3), np.uint8), 1.9)], r"a class index .* got 1\.9"),
            ([(np.zeros((40, 40, 3), np.uint8), "leaf")], "a class index .* got 'leaf'"),
            ([(Image.new("I;16", (40, 40)), 0)], "16 bits"),
            ([(np.zeros((40, 40, 3), np.uint8), {"boxes": [[0.1, 0.1, 0.9, 0.9]], "labels": [0]})],
             "are they shares of it"),
        ],
    )  # fmt: skip
    def test_truth_that_cannot_be(self, pairs, words, tmp_path):
        with pytest.raises(InputError, match=words):
            stl.evaluate(classes, pairs, classes=["leaf", "brick"], work_dir=tmp_path / "s",
                         **CHOSEN)  # fmt: skip

    @pytest.mark.parametrize("result", [0, "leaf", np.zeros((2, 2)), np.array(["a", "b"])])
    def test_results_that_are_no_scores(self, result, folders, tmp_path):
        with pytest.raises(InputError, match=r"expected .*class scores"):
            stl.evaluate(lambda images: [result] * len(images), folders, work_dir=tmp_path / "s",
                         classes=["leaf", "brick"], **CHOSEN)  # fmt: skip

    def test_results_do_not_lie_in_the_data(self, folders):
        with pytest.raises(InputError, match="lies in the data"):
            stl.evaluate(classes, folders, work_dir=folders / "sweep", **CHOSEN)

    def test_numbers_for_pixels_up_to_255(self, maps, tmp_path):
        with pytest.raises(InputError, match=r"values in 0\.\.1"):
            stl.evaluate(Coloured().eval(), maps, classes=NAMES, mean=[123.7], std=[58.4],
                         work_dir=tmp_path / "s", **CHOSEN)  # fmt: skip

    def test_masks_are_scored_though_the_first_image_has_no_detection(self, coco, tmp_path):
        content = json.loads(coco[0].read_text())
        for one in content["annotations"]:
            left, top, width, height = one["bbox"]
            right, bottom = left + width, top + height
            one["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
        coco[0].write_text(json.dumps(content))
        empty = stl.Detections(np.empty((0, 4)), [], [])

        def predict(images):
            found = []
            for image, one in zip(images, boxes(images), strict=True):
                inside = nearest(image) > 0
                masks = np.stack([inside] * len(one.boxes)) if len(one.boxes) else None
                is_first = inside.sum() == (nearest(squares(0)[0]) > 0).sum()
                found.append(empty if is_first else stl.Detections(*vars(one).values()))
                if not is_first:
                    found[-1] = stl.Detections(one.boxes, one.scores, one.labels, masks)
            return found

        result = stl.evaluate(predict, coco, work_dir=tmp_path / "s", version="1", **CHOSEN)
        assert result.provenance[0].inference == "boxes and masks"
        assert scores(result, "mask_ap")["clean"] >= 0.5

    def test_two_folders_are_compared_by_their_names(self, maps, tmp_path):
        named = {"classes": NAMES, "version": "1", **CHOSEN}
        for name in "ab":
            stl.evaluate(labels, maps, work_dir=tmp_path / name, name=name, **named)
        found = stl.compare(tmp_path / "a", str(tmp_path / "b"), resamples=10)
        assert found.loc["clean", "difference"] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("give --batch-size N, or less", "give batch_size=N, or less"),
        ("--data-root 'x' is no folder", "data 'x' is no folder"),
        ("'a--b.png' and --classes '/t/--n'", "'a--b.png' and classes '/t/--n'"),
    ],
)
def test_options_in_messages_are_arguments(text, expected):
    assert python_words(text) == expected
