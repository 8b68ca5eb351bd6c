"""A labeler with drawn weights, for tests of token labels."""

import pytest
import torch
from mmengine.logging import HistoryBuffer

from stl_backbones.models import FAN, get_variant

CLASSES = ("cat", "dog", "newt")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Drawn weights whose tokens differ."""
    torch.manual_seed(0)
    fan = FAN(get_variant("tiny_vit"), num_classes=len(CLASSES), token_head=True)
    torch.nn.init.normal_(fan.aux_head.weight, std=0.5)
    path = tmp_path_factory.mktemp("weights") / "labeler.pth"
    meta = {"dataset_meta": {"classes": list(CLASSES)}}
    history = {"loss": HistoryBuffer([1.0], [1])}  # as in every checkpoint of mmengine's
    torch.save({"state_dict": fan.state_dict(), "meta": meta, "message_hub": history}, path)
    return path
