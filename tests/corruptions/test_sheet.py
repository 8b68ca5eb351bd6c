"""The sheet of all corruptions: every version in its place, as a sweep makes it."""

import numpy as np
import pytest
from PIL import Image

from stl_backbones.cli.commands import show_corruptions
from stl_backbones.cli.sheet import make_sheet
from stl_backbones.corruptions import (
    Protocol,
    corrupt,
    get_protocol,
    register_corruption,
    register_protocol,
)
from stl_backbones.corruptions.sheet import draw_sheet
from stl_backbones.drawing import GAP, LINE, text_width
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.records import CorruptionEngine

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


def test_each_version_is_in_its_place():
    names = ["fog", "contrast"]
    sheet = draw_sheet(IMAGE, get_protocol("imagenet-c"), key="a.png", engine=CorruptionEngine(),
                       corruptions=names, severities=[2, 5], panel=48)  # fmt: skip
    pixels = np.array(sheet)
    left, top = GAP + text_width("contrast") + GAP, GAP
    heads = max(40, 3 * LINE)  # the words beside the clean image
    assert (pixels[top : top + 40, left : left + 48] == IMAGE).all()
    top += heads + GAP + LINE + GAP
    for row, name in enumerate(names):
        for column, severity in enumerate((2, 5)):
            y, x = top + row * (40 + GAP), left + column * (48 + GAP)
            made = corrupt(IMAGE, name, severity, key="a.png")
            assert (pixels[y : y + 40, x : x + 48] == made).all(), (name, severity)


@pytest.fixture
def words(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")

    def sheet(*words):
        args = show_corruptions.parse().parse_args([str(tmp_path / "a.png"), *words])
        return make_sheet(args, tmp_path / args.image, CorruptionEngine("fast"))

    return sheet


def test_own_corruptions_and_one_line_for_what_is_wrong(words, own_catalog, tmp_path, monkeypatch):
    (place := tmp_path / "here").mkdir()
    monkeypatch.chdir(place)  # and not into the data set of the image
    own = register_corruption("inverted", group="own", version="1")
    own(lambda image, severity, rng: 255 - image)
    register_protocol(Protocol("mine", {"own": ["inverted"]}, "here", {"inverted": [1]}))
    made = words("--protocol", "mine", "--panel", "48")
    assert made.resolve() == place / "a_corruptions.png"
    shown = np.array(Image.open(made))
    left = GAP + text_width("inverted") + GAP
    assert (shown[-GAP - 40 : -GAP, left : left + 48] == 255 - IMAGE).all()
    with pytest.raises(InputError, match="--out must end in"):
        words("--out", "x.gif")
    (tmp_path / "a.png").unlink()
    with pytest.raises(MissingFileError, match="does not exist"):
        words()
