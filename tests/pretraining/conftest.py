"""A small FAN, a labeler's checkpoint, and batches as the data preprocessor hands them."""

import pytest
import torch

from stl_backbones.models import Variant
from stl_backbones.pretraining import TokenLabeler

CLASSES = ("car", "dog", "tree")


@pytest.fixture(scope="session")
def small():
    """Depth 2, dim 16, 2 heads behind a convolutional stem."""
    return Variant("small_test_vit", "test_vit", "FAN-Test-ViT", 2, 16, 2, None, (0, 1))


@pytest.fixture
def batch():
    """Two 32x48 images (2 x 3 tokens) in two views."""
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, 2, 3, 32, 48, generator=generator)
    return {
        "inputs": {"student": views[0], "labeler": views[1]},
        "targets": torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]),
        "labels": torch.tensor([0, 2]),
        "paths": ["a.jpg", "b.jpg"],
    }


@pytest.fixture(scope="session")
def make_labeler_file(tmp_path_factory):
    """Write a FAN-T labeler's checkpoint, as training writes it."""

    def make(*, classes=CLASSES, released_norm=False, model=None):
        torch.manual_seed(3)
        if model is None:
            model = TokenLabeler(
                "tiny_vit", num_classes=len(classes or CLASSES), released_norm=released_norm
            )
        for name, parameter in model.named_parameters():
            if "head" in name:
                torch.nn.init.normal_(parameter)  # else all tokens get the same label
        meta = {"stl_backbones": model.card()}
        if classes:
            meta["dataset_meta"] = {"classes": classes}
        path = tmp_path_factory.mktemp("labeler") / "labeler.pth"
        torch.save({"state_dict": model.state_dict(), "meta": meta}, path)
        return path

    return make


@pytest.fixture(scope="session")
def labeler_file(make_labeler_file):
    return make_labeler_file()
