"""torchvision's networks by name: as its library feeds them, and refused in a line."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torchvision.models import get_model_weights, list_models

import stl_backbones as stl
from stl_backbones.datasets.views import View
from stl_backbones.errors import InputError, MissingFileError, UnknownNameError
from stl_backbones.records import CLEAN, Cell
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.find_model import open_model
from stl_backbones.robustness.predicted.given import Given

VOC = torchvision.models.segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT
SSD = "ssdlite320_mobilenet_v3_large"


def noise(seed, height=48, width=64):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(folder, name, *, task="classification", **settings):
    """Random weights of a network, and the network."""
    torch.manual_seed(0)
    backbone = {} if task == "classification" else {"weights_backbone": None}
    network = torchvision.models.get_model(name, weights=None, **backbone, **settings).eval()
    file = folder / f"{name}.pth"
    torch.save(network.state_dict(), file)
    return network, file


def make(source, task, **said):
    return open_model(f"torchvision:{source}", Given(task=task, **said), SweepOptions())


def predict(model, images):
    return model.results([model.prepared(image) for image in images])


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return write(tmp_path_factory.mktemp("resnet"), "resnet18", num_classes=4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for index in range(4):
        path = root / f"class{index}" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise(index, 250, 270)).save(path)
    return root


def test_resnet18_of_torchvision_and_of_timm_predict_alike_in_every_cell(resnet, folders, tmp_path):
    stores = []
    for source in ("torchvision:resnet18", "timm:resnet18.tv_in1k"):
        folder = tmp_path / source.partition(":")[0]
        stl.evaluate(
            source, folders, work_dir=folder, checkpoint=resnet[1], corruptions=["fog"],
            severities=[3], mode="fast", progress=False, workers=0,
        )  # fmt: skip
        stores.append(CellStore(folder))
    for cell in (CLEAN, Cell("fog", 3)):
        ours, timms = (store.read(cell).samples for store in stores)
        np.testing.assert_allclose(ours["confidence"], timms["confidence"], atol=1e-4)
        assert ours["prediction"].tolist() == timms["prediction"].tolist()
    assert "center crop 224 of 256 bilinear" in stores[0].provenance().inference


def test_a_classifier_is_fed_as_its_weights_say(resnet):
    network, file = resnet
    image = noise(1, 300, 280)
    model = make("resnet18", "classification", checkpoint=file)
    preset = get_model_weights("resnet18").DEFAULT.transforms()
    with torch.inference_mode():
        expected = network(preset(Image.fromarray(image))[None])[0]
    (found,) = predict(model, [model.view(Image.fromarray(image))])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert model.classes is None
    assert model.libraries == ("torchvision",)


def test_every_classifiers_view_is_its_preset_number_for_number(resnet):
    """224 / (224 / 232), rounded down, must be 232 again."""
    pairs = set()
    for name in list_models(torchvision.models):
        for weights in get_model_weights(name):
            preset = weights.transforms()
            pairs.add((preset.crop_size[0], preset.resize_size[0]))
    assert len(pairs) > 15
    for size, shorter in pairs:
        view = View.of_crop_pct(size, size / shorter, interpolation="bilinear")
        assert (view.size, view.shorter) == (size, shorter)


def test_what_the_user_says_of_images_wins(resnet):
    model = make("resnet18", "classification", checkpoint=resnet[1], size=128, mean=(0.5,))
    assert str(model.view) == "center crop 128 of 146 bilinear"
    assert model.inference == "mean 0.5 std 0.229/0.224/0.225"


def test_a_file_of_released_weights_is_built_as_torchvision_builds_it(tmp_path, monkeypatch):
    """Googlenet's own weights want other images than it takes when it is trained anew."""
    _, file = write(tmp_path, "googlenet", init_weights=False)
    released = get_model_weights("googlenet").DEFAULT
    place = tmp_path / "hub/checkpoints" / released.url.rpartition("/")[2]
    place.parent.mkdir(parents=True)
    file.rename(place)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    library = torchvision.models.googlenet(weights=released).eval()
    assert library.transform_input
    crop = noise(0, 224, 224)
    with torch.inference_mode():
        expected = library(released.transforms()(Image.fromarray(crop))[None])[0]
    model = make("googlenet:IMAGENET1K_V1", "classification")
    (found,) = predict(model, [crop])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    assert model.classes == tuple(released.meta["categories"])


def test_segmentation_is_fed_as_its_weights_say(tmp_path):
    name = "lraspp_mobilenet_v3_large"
    network, file = write(tmp_path, name, task="segmentation")
    model = make(name, "segmentation", checkpoint=file)
    image = noise(2, 60, 80)
    with torch.inference_mode():
        expected = network(VOC.transforms()(Image.fromarray(image))[None])["out"][0]
    (found,) = predict(model, [image])
    assert found.shape == (21, 520, 693)
    torch.testing.assert_close(found, expected)
    assert model.classes == tuple(VOC.meta["categories"])
    assert "520" in model.inference


def test_a_segmentation_network_of_own_classes_with_an_auxiliary_head(tmp_path):
    name = "deeplabv3_mobilenet_v3_large"
    network, file = write(tmp_path, name, task="segmentation", num_classes=5, aux_loss=True)
    model = make(name, "segmentation", checkpoint=file, size=64)
    (found,) = predict(model, [noise(0)])
    assert found.shape == (5, 64, 64)
    assert model.classes is None
    assert any(key.startswith("aux_classifier") for key in network.state_dict())


def test_a_detector_finds_what_it_finds_without_us(tmp_path):
    network, file = write(tmp_path, SSD, task="detection")
    model = make(SSD, "detection", checkpoint=file)
    images = [noise(0), noise(1, 60, 40)]
    found = predict(model, images)
    for image, ours in zip(images, found, strict=True):
        with torch.inference_mode():
            (own,) = network([torch.from_numpy(image).permute(2, 0, 1) / 255])
        torch.testing.assert_close(ours.boxes, own["boxes"], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(ours.scores, own["scores"], atol=1e-4, rtol=1e-3)
        assert len(ours.boxes) > 10
    assert model.classes[0] == "__background__"
    assert model.classes.count("N/A") == 10  # COCO's ids without a class


def test_mask_rcnn(tmp_path):
    name = "maskrcnn_resnet50_fpn"
    network, file = write(tmp_path, name, task="detection")
    with torch.no_grad():  # else no class of an untrained network reaches its threshold of 0.05
        network.roi_heads.box_predictor.cls_score.weight *= 30
    torch.save(network.state_dict(), file)
    model = make(name, "detection", checkpoint=file)
    image = noise(0, 16, 640)  # long, so that it stays small
    (found,) = predict(model, [image])
    with torch.inference_mode():
        (own,) = network([torch.from_numpy(image).permute(2, 0, 1) / 255])
    assert len(found.boxes) > 0
    assert found.masks.shape == (len(found.boxes), 16, 640)
    torch.testing.assert_close(found.boxes, own["boxes"], atol=1e-2, rtol=1e-3)
    assert ((own["masks"][:, 0] > 0.5) != found.masks).float().mean() < 1e-3


def test_a_detectors_label_0_is_not_the_first_class(tmp_path):
    """Labels 1 and 2 of a network trained on two classes are its first and second."""
    _, file = write(tmp_path, SSD, task="detection", num_classes=3)
    with pytest.raises(InputError, match=r"nothing names the 2 classes.*labels 1, 2"):
        make(SSD, "detection", checkpoint=file)
    model = make(SSD, "detection", checkpoint=file, classes=("cat", "dog"))
    assert model.classes == ("__background__", "cat", "dog")


@pytest.mark.parametrize(
    ("source", "task", "said", "message"),
    [
        ("resnet81", "classification", {}, "no model 'resnet81'; did you mean resnet18"),
        ("resnet18:V7", "classification", {}, "'V7'; expected one of IMAGENET1K_V1, DEFAULT"),
        ("quantized_resnet18", "classification", {}, "for none of our tasks"),
        ("swin3d_t", "classification", {}, "for none of our tasks"),
        ("fcn_resnet50", "classification", {}, "is for segmentation, the data are for class"),
        ("resnet18", "detection", {}, "is for classification, the data are for detection"),
        ("resnet34", "classification", {}, "does not fit torchvision's 'resnet34' with 4 classes"),
        ("resnet18", "classification", {"classes": ("a", "b")}, "has 4 classes, but 2 are named"),
        ("resnet18", "classification", {"checkpoint": "none.pth"}, "'none.pth' does not exist"),
        ("vit_b_16", "segmentation", {}, "is for classification"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(source, task, said, message, resnet):
    given = {"checkpoint": resnet[1], **said}
    with pytest.raises((InputError, UnknownNameError, MissingFileError), match=message) as caught:
        make(source, task, **given)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(InputError, match=r"resnet18-f37072fd\.pth' cannot be fetched .*give the"):
        make("resnet18", "classification")


def test_pickled_code_is_not_run(tmp_path):
    torch.save({"state_dict": print}, tmp_path / "code.pth")
    with pytest.raises(InputError, match="pickled code"):
        make("resnet18", "classification", checkpoint=tmp_path / "code.pth")


def test_the_network_is_timms_to_the_hash(resnet):
    """Which weights these are does not depend on who built the network."""
    model = make("resnet18", "classification", checkpoint=resnet[1])
    other = timm.create_model("resnet18", num_classes=4)
    other.load_state_dict(resnet[0].state_dict())
    assert (
        model.weights_sha256
        == open_model(other.eval(), Given(task="classification"), SweepOptions()).weights_sha256
    )
