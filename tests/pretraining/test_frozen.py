"""Labelers from files: what they answer, and what is refused."""

import pytest
import safetensors.torch
import timm
import torch
import torch.nn.functional as F

from stl_backbones.models import FAN, get_variant
from stl_backbones.pretraining import STLClassifier, TokenLabeler, load_labeler

CLASSES = ("car", "dog", "tree")


def images(seed=0, *, height=32, width=48):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("timm") / "resnet.pth"
    torch.save(timm.create_model("resnet18", num_classes=3).state_dict(), path)
    return path


@pytest.mark.parametrize("prefix", ["module._orig_mod.", "model."])
@pytest.mark.parametrize("name", [None, "resnet18"])
def test_what_wrapped_a_labeler_goes(resnet_file, labeler_file, tmp_path, name, prefix):
    """Lightning's key and prefix, and data parallel's over a compiled network's."""
    plain = labeler_file if name is None else resnet_file
    content = torch.load(plain, weights_only=True)
    weights = content.get("state_dict", content)
    wrapped = {f"{prefix}{k.removeprefix('backbone.')}": v for k, v in weights.items()}
    kept = {"meta": content["meta"]} if "meta" in content else {}
    torch.save({"model_state_dict": wrapped, **kept}, tmp_path / "wrapped.ckpt")
    one, other = (
        load_labeler(file, timm_name=name).token_logits(images(height=64, width=96), grid=(4, 6))
        for file in (plain, tmp_path / "wrapped.ckpt")
    )
    assert torch.equal(one, other)


class TestFAN:
    def test_answers_token_by_token(self, labeler_file):
        fan = FAN(get_variant("tiny_vit"), num_classes=3, token_head=True, released_norm=False)
        weights = torch.load(labeler_file, weights_only=True)["state_dict"]
        fan.load_state_dict({k.removeprefix("backbone."): v for k, v in weights.items()})
        with torch.no_grad():
            _, expected = fan.eval()(images())
        logits = load_labeler(labeler_file).token_logits(images(), grid=(2, 3))
        assert torch.allclose(logits, expected, atol=1e-5)

    def test_resizes_its_grid(self, labeler_file):
        labeler = load_labeler(labeler_file)
        own = labeler.token_logits(images(), grid=(2, 3))
        resized = labeler.token_logits(images(), grid=(4, 6))
        grid = own.transpose(1, 2).reshape(2, 3, 2, 3)
        expected = F.interpolate(grid, (4, 6), mode="bilinear", align_corners=False)
        assert torch.equal(resized, expected.flatten(2).transpose(1, 2))

    @pytest.mark.parametrize("norm", [True, False])
    def test_keeps_the_norm_it_was_trained_with(self, make_labeler_file, norm):
        model = TokenLabeler("tiny_hybrid", num_classes=3, released_norm=norm)
        labeler = load_labeler(make_labeler_file(model=model))
        with torch.no_grad():
            _, expected = model.eval().backbone(images())
        assert torch.allclose(labeler.token_logits(images(), grid=(2, 3)), expected, atol=1e-5)

    def test_prefers_averaged_weights(self, labeler_file, tmp_path):
        content = torch.load(labeler_file, weights_only=True)
        raw = {name: torch.zeros_like(value) for name, value in content["state_dict"].items()}
        released = {**content, "state_dict": raw, "state_dict_ema": content["state_dict"]}
        torch.save(released, tmp_path / "ema.pth.tar")
        expected = load_labeler(labeler_file).token_logits(images(), grid=(2, 3))
        labeler = load_labeler(tmp_path / "ema.pth.tar")
        assert torch.equal(labeler.token_logits(images(), grid=(2, 3)), expected)


class TestTimm:
    def test_classifies_location_by_location(self, resnet_file):
        labeler = load_labeler(resnet_file, timm_name="resnet18")
        logits = labeler.token_logits(images(height=64, width=96), grid=(2, 3))
        model = timm.create_model("resnet18", num_classes=3).eval()
        model.load_state_dict(torch.load(resnet_file, weights_only=True))
        with torch.no_grad():
            features = model.forward_features(images(height=64, width=96))
            expected = torch.stack([model.fc(place) for place in features.flatten(2).unbind(-1)], 1)
        assert torch.allclose(logits, expected, atol=1e-5)

    def test_mean_over_places_is_the_models_own_answer(self, tmp_path):
        """For a head that is linear after its pooling; NFNet is Table 9's family.

        This one normalises by 0.5 and 0.5, our images come normalised as ImageNet's.
        """
        torch.manual_seed(0)
        model = timm.create_model("test_nfnet", num_classes=3).eval()
        torch.save(model.state_dict(), tmp_path / "nfnet.pth")
        labeler = load_labeler(tmp_path / "nfnet.pth", timm_name="test_nfnet")
        picture = images(height=64, width=64)
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        with torch.no_grad():
            expected = model((picture * std + mean - 0.5) / 0.5)
        assert torch.allclose(
            labeler.token_logits(picture, grid=(2, 2)).mean(dim=1), expected, atol=1e-5
        )

    def test_takes_maps_with_channels_at_the_end(self, tmp_path):
        torch.manual_seed(0)
        name = "swin_tiny_patch4_window7_224"
        model = timm.create_model(name, num_classes=3).eval()
        torch.save(model.state_dict(), tmp_path / "swin.pth")
        labeler = load_labeler(tmp_path / "swin.pth", timm_name=name)
        picture = images(height=224, width=224)
        with torch.no_grad():
            expected = model(picture)
        logits = labeler.token_logits(picture, grid=(7, 7))
        assert torch.allclose(logits.mean(dim=1), expected, atol=1e-5)

    def test_without_a_map(self, tmp_path):
        name = "vit_tiny_patch16_224"
        torch.save(timm.create_model(name, num_classes=3).state_dict(), tmp_path / "vit.pth")
        with pytest.raises(ValueError, match=r"expected a spatial last feature map, got \(1, 197"):
            load_labeler(tmp_path / "vit.pth", timm_name=name)

    def test_without_a_file_timm_downloads(self, resnet_file, monkeypatch):
        expected = load_labeler(resnet_file, timm_name="resnet18")
        torch.manual_seed(0)
        model = timm.create_model("resnet18", num_classes=3)
        asked = []

        def create_pretrained(name, **options):
            asked.append(name)
            return model

        monkeypatch.setattr("stl_backbones.pretraining.frozen.create_pretrained", create_pretrained)
        labeler = load_labeler(timm_name="resnet18")
        assert asked == ["resnet18"]
        assert (labeler.card["file"], len(labeler.card["sha256"])) == ("timm:resnet18", 64)
        picture = images(height=64, width=96)
        assert torch.equal(
            labeler.token_logits(picture, grid=(2, 3)), expected.token_logits(picture, grid=(2, 3))
        )
        load_labeler(timm_name="resnet18")
        with torch.no_grad():
            model.fc.bias += 1
        assert load_labeler(timm_name="resnet18").card["sha256"] != labeler.card["sha256"]

    def test_a_file_of_safetensors(self, resnet_file, tmp_path):
        path = tmp_path / "model.safetensors"
        safetensors.torch.save_file(torch.load(resnet_file, weights_only=True), path)
        picture = images(height=64, width=96)
        first, second = (
            load_labeler(file, timm_name="resnet18").token_logits(picture, grid=(2, 3))
            for file in (path, resnet_file)
        )
        assert torch.equal(first, second)


class TestRefusals:
    def test_nothing_named(self):
        with pytest.raises(ValueError, match="needs a trained labeler: give --cfg-options labeler"):
            load_labeler()

    def test_weights_that_cannot_be_fetched(self, monkeypatch):
        def getaddrinfo(*args):
            raise OSError("no network")

        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
        monkeypatch.setattr("urllib.request.getproxies", dict)
        with pytest.raises(ValueError, match=r"resnet18.a1_in1k.*no network.*--cfg-options labe"):
            load_labeler(timm_name="resnet18.a1_in1k")

    def test_a_damaged_file_of_safetensors(self, tmp_path):
        (tmp_path / "half.safetensors").write_bytes(b"\xff" * 40)
        with pytest.raises(ValueError, match=r"half.safetensors' is truncated or no safetensors"):
            load_labeler(tmp_path / "half.safetensors", timm_name="resnet18")

    def test_a_damaged_file(self, tmp_path):
        (tmp_path / "half.pth").write_bytes(b"PK half a file")
        with pytest.raises(ValueError, match=r"half.pth' is truncated or no checkpoint"):
            load_labeler(tmp_path / "half.pth")

    def test_a_file_without_weights(self, tmp_path):
        torch.save({"meta": "none"}, tmp_path / "empty.pth")
        with pytest.raises(ValueError, match=r"labeler '.*empty.pth': the checkpoint holds no wei"):
            load_labeler(tmp_path / "empty.pth")

    def test_a_missing_file(self):
        with pytest.raises(
            FileNotFoundError, match=r"labeler 'gone.pth' does not exist; train one"
        ):
            load_labeler("gone.pth")

    def test_another_family(self, resnet_file):
        with pytest.raises(ValueError, match="is no FAN's file; for a timm classifier's give its"):
            load_labeler(resnet_file)

    def test_a_fan_without_token_head(self, make_labeler_file):
        path = make_labeler_file(model=STLClassifier("tiny_vit", num_classes=3))
        with pytest.raises(ValueError, match="is a FAN-T-ViT without a token head"):
            load_labeler(path)

    def test_another_timm_model(self, resnet_file):
        with pytest.raises(ValueError, match=r"does not fit timm's 'resnet34' .*Missing key"):
            load_labeler(resnet_file, timm_name="resnet34")

    def test_a_timm_model_with_another_head(self, resnet_file):
        with pytest.raises(ValueError, match=r"does not fit timm's 'test_nfnet' .*Missing key"):
            load_labeler(resnet_file, timm_name="test_nfnet")

    def test_an_unknown_timm_model(self, resnet_file):
        with pytest.raises(KeyError, match=r"no model 'resnet19'; did you mean resnet1\d"):
            load_labeler(resnet_file, timm_name="resnet19")

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (("car", "dog"), "knows 3 classes, the data has 2"),
            (("car", "tree", "dog"), "in another order: class 1 is 'dog' there and 'tree' here"),
            (("car", "cat", "tree"), "other ones: class 1 is 'dog' there and 'cat' here"),
        ],
    )
    def test_other_classes(self, labeler_file, classes, message):
        with pytest.raises(ValueError, match=message):
            load_labeler(labeler_file).check_classes(classes)

    def test_the_same_classes_are_fine(self, labeler_file):
        load_labeler(labeler_file).check_classes(list(CLASSES))

    def test_what_others_write_as_meta_does_not_matter(self, labeler_file, tmp_path):
        weights = torch.load(labeler_file, weights_only=True)["state_dict"]
        torch.save({"state_dict": weights, "meta": "mine"}, tmp_path / "other.pth")
        assert load_labeler(tmp_path / "other.pth").classes is None

    def test_a_file_without_class_names_is_checked_by_number(self, make_labeler_file):
        labeler = load_labeler(make_labeler_file(classes=None))
        labeler.check_classes(["x", "y", "z"])
        with pytest.raises(ValueError, match="knows 3 classes"):
            labeler.check_classes(["x", "y"])
