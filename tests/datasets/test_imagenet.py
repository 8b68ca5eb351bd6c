"""The folder reader: what it lists, draws, skips and refuses."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from PIL import Image

from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.registry import DATASETS

TRAINING = (
    {"type": "TwoViews"},
    {"type": "RandomResizedCropViews", "size": 32},
    {"type": "RandomFlipViews"},
    {"type": "RandAugmentViews"},
    {"type": "PackViews"},
)
SCORING = ({"type": "CenterCropViews", "size": 32}, {"type": "PackViews"})


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Three classes of four images, JPEG and PNG, one of them grey."""
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for number in range(12):
        folder = root / "train" / f"n0{2 - number // 4}"
        folder.mkdir(parents=True, exist_ok=True)
        shape = (40, 50) if number == 5 else (40, 50, 3)
        image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        image.save(folder / f"{number:02d}.{'png' if number % 4 else 'JPEG'}")
    (root / "train" / "n00" / "notes.txt").write_text("no image")
    (root / "train" / "n00" / "._08.JPEG").write_text("no image")
    (root / "train" / ".cache").mkdir()
    return root


@pytest.fixture
def root(original, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(original, tmp_path / "imagenet")


def make(root, pipeline=TRAINING, **kwargs):
    return ImageNetFolder(root, pipeline=pipeline, **kwargs)


def loaded(root, *, workers, epochs=(0, 1), keep=False, **kwargs):
    """Batches of some epochs, through mmengine's runner as a config would."""
    loader = Runner.build_dataloader({
        "batch_size": 5,
        "num_workers": workers,
        "persistent_workers": keep,
        "dataset": {"type": "stl_backbones.ImageNetFolder", "data_root": str(root),
                    "pipeline": list(TRAINING), **kwargs},
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "collate_fn": {"type": "default_collate"},
    }, seed=0)  # fmt: skip
    batches = []
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        loader.dataset.set_epoch(epoch)
        batches += list(loader)
    return batches, loader.dataset


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert a["path"] == b["path"]
        for name in ("student", "labeler", "label"):
            assert torch.equal(a[name], b[name]), name


def test_classes_are_the_sorted_folders(original):
    dataset = make(original, SCORING)
    assert dataset.metainfo == {"classes": ("n00", "n01", "n02")}
    assert [item["label"] for item in dataset] == [0] * 4 + [1] * 4 + [2] * 4
    assert [item["path"].rpartition("/")[2] for item in dataset][:2] == ["08.JPEG", "09.png"]
    assert dataset[-1]["path"] == dataset[11]["path"]


def test_an_item_has_two_views_of_bytes(original):
    item = make(original)[5]
    assert set(item) == {"student", "labeler", "label", "path"}
    for name in ("student", "labeler"):
        assert (item[name].shape, item[name].dtype) == ((3, 32, 32), torch.uint8)


@pytest.mark.parametrize(
    ("options", "labels", "names"),
    [
        ({"classes": 2}, [0] * 4 + [1] * 4, ("n00", "n01")),
        ({"classes": ["n02", "n00"]}, [0] * 4 + [1] * 4, ("n02", "n00")),
        ({"images_per_class": 1}, [0, 1, 2], ("n00", "n01", "n02")),
    ],
)
def test_a_part_of_the_data(original, options, labels, names):
    dataset = make(original, SCORING, **options)
    assert dataset.metainfo["classes"] == names
    assert [dataset[i]["label"] for i in range(len(dataset))] == labels
    assert all(names[item["label"]] in item["path"] for item in dataset)


def test_draws_do_not_depend_on_workers(original):
    alone, _ = loaded(original, workers=0)
    assert_equal(alone, loaded(original, workers=2)[0])
    assert_equal(alone, loaded(original, workers=1, keep=True)[0])


def test_epoch_and_seed_make_the_draws(original):
    def views(seed, epoch):
        dataset = make(original, seed=seed)
        dataset.set_epoch(epoch)
        return torch.stack([item["student"] for item in dataset])

    assert torch.equal(views(0, 3), views(0, 3))
    assert not torch.equal(views(0, 3), views(0, 4))
    assert not torch.equal(views(0, 3), views(1, 3))


def test_an_epoch_can_begin_anywhere(original):
    """As after a resume: what was read before does not matter."""
    assert_equal(loaded(original, workers=0)[0][3:], loaded(original, workers=0, epochs=(1,))[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_images_are_counted_named_and_replaced(root, workers):
    broken = [root / "train/n01/05.png", root / "train/n01/06.png", root / "train/n02/03.png"]
    broken[0].write_bytes(broken[0].read_bytes()[:900])
    broken[1].write_bytes(b"")
    broken[2].unlink()
    broken[2].mkdir()
    batches, dataset = loaded(root, workers=workers, max_broken=3)
    assert sorted(dataset.broken) == sorted(map(str, broken))
    paths = [path for batch in batches[:3] for path in batch["path"]]
    assert len(paths) == 12
    assert not set(dataset.broken) & set(paths)
    # The next readable file stands in; the last one is followed by the first.
    assert paths.count(f"{root}/train/n01/07.png") == 3
    assert paths.count(f"{root}/train/n00/08.JPEG") == 2
    assert_equal(batches, loaded(root, workers=2 - workers, max_broken=3)[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_broken_images_are_an_error(root, workers):
    for name in ("04.JPEG", "05.png"):
        (root / "train/n01" / name).write_bytes(b"no image")
    with pytest.raises(
        ValueError,
        match=r"2 images in '.*train' cannot be read, expected at most 1 "
        r"\(max_broken\); the last: '.*(04.JPEG|05.png)' is no image",
    ):
        loaded(root, workers=workers, max_broken=1)


def test_a_truncated_jpeg_is_broken(root):
    path = root / "train/n00/08.JPEG"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ValueError, match=r"08.JPEG' cannot be read: .*truncated"):
        make(root, max_broken=0)[0]


def test_nothing_readable_is_an_error(root):
    for path in (root / "train").rglob("*.*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 12 images"):
        make(root, max_broken=12)[0]


def damage(root, kind):
    if kind == "gone":
        return root / "gone"
    if kind == "empty":
        (root / "empty/train").mkdir(parents=True)
        return root / "empty"
    if kind == "single":
        shutil.rmtree(root / "train/n01")
        shutil.rmtree(root / "train/n02")
    if kind == "hollow":
        (root / "train/n03").mkdir()
    return root


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("gone", {}, FileNotFoundError, "image folder '.*gone/train' does not exist; expected one"),
        ("empty", {}, FileNotFoundError, "'.*empty/train' holds no class folder"),
        ("single", {}, ValueError, "at least two different classes in '.*train', got n00"),
        ("hollow", {}, FileNotFoundError, "1 of 4 class folders in '.*train' hold no image: n03"),
        ("", {"num_classes": 2}, ValueError, "holds 3 classes, labels 0..2, but the model has 2"),
        ("", {"classes": 4}, ValueError, r"classes must be in 1..3 .*, got 4"),
        ("", {"classes": ["n00", "n09"]}, FileNotFoundError, "lacks 1 of 2 class folders: n09"),
        ("", {"classes": ["n00", "n00"]}, ValueError, "two different classes"),
        ("", {"images_per_class": 0}, ValueError, "images_per_class must be at least 1, got 0"),
    ],
)
def test_bad_folders_are_refused(root, kind, options, error, message):
    with pytest.raises(error, match=message):
        make(damage(root, kind), **options)


def test_a_batch_larger_than_the_data_is_refused(original):
    dataset = make(original)
    dataset.check_batch(12)
    with pytest.raises(ValueError, match=r"at most 12 \(the images in '.*train'\), got 13"):
        dataset.check_batch(13)


def test_the_generated_mini_set_fits(mini_data):
    dataset = DATASETS.build({
        "type": "ImageNetFolder", "data_root": mini_data / "imagenet", "split": "val",
        "pipeline": SCORING,
    })  # fmt: skip
    assert {item["label"] for item in dataset} == set(range(len(dataset.metainfo["classes"])))


def test_grey_of_16_bits_is_refused_not_clipped_to_white(tmp_path):
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png' is grey with 16 bits or more \(mode I;16\)"):
        read_rgb(tmp_path / "a.png")


def test_a_strip_is_refused(tmp_path):
    Image.new("RGB", (30_000, 1)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png' is 30000x1; expected sides of at most 200 to 1"):
        read_rgb(tmp_path / "a.png")
    Image.new("RGB", (200, 1)).save(tmp_path / "b.png")
    assert read_rgb(tmp_path / "b.png").size == (200, 1)


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_is_not_followed_as_in_torchvision(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.array(read_rgb(tmp_path / "a.png")), stored)


def test_another_split_is_numbered_by_training(original, root, caplog):
    shutil.copytree(root / "train", root / "val")
    shutil.rmtree(root / "val/n00")
    val = make(root, SCORING, split="val")
    assert [item["label"] for item in val] == [0] * 4 + [1] * 4
    logger = MMLogger.get_instance("numbering")
    with caplog.at_level("WARNING", logger.name):
        logger.addHandler(caplog.handler)
        val.number_by(make(original).classes)
    assert [item["label"] for item in val] == [1] * 4 + [2] * 4
    assert val.metainfo == {"classes": ("n00", "n01", "n02")}
    assert "no images of 1 of the 3 classes of training (n00)" in caplog.text


def test_a_class_that_training_has_not_is_refused(original, root):
    shutil.copytree(root / "train", root / "val")
    (root / "val/n00").rename(root / "val/n03")
    message = r"1 class folders that training has not \(n03\)"
    with pytest.raises(ValueError, match=message):
        make(root, SCORING, split="val").number_by(make(original).classes)
