"""CIFAR-10-C's .npy files in a sweep: the model gets the files' pixels, and labels must agree."""

import hashlib
import shutil

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import stl_backbones as stl
from stl_backbones.corruptions import corrupt
from stl_backbones.datasets.array_images import open_images
from stl_backbones.records import CLEAN, Cell
from stl_backbones.results import CellStore
from stl_backbones.robustness.array_copy import find_array_copy

COUNT = 200
NAMES = ("fog", "contrast")
CELLS = tuple(Cell(name, severity) for name in NAMES for severity in range(1, 6))
CHOSEN = {"corruptions": NAMES, "workers": 0, "progress": False, "version": "1", "batch_size": 64}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Clean images, their labels, and of each corruption all severities."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("cifar")
    clean, labels = rng.integers(0, 256, (COUNT, 32, 32, 3), np.uint8), rng.permutation(COUNT) % 10
    (root / "clean").mkdir()
    np.save(root / "clean/clean.npy", clean)
    np.save(root / "clean/labels.npy", labels)
    (root / "c").mkdir()
    np.save(root / "c/labels.npy", np.tile(labels, 5).astype(np.uint8))
    for name in NAMES:
        np.save(root / f"c/{name}.npy", rng.integers(0, 256, (5 * COUNT, 32, 32, 3), np.uint8))
    return root


def scores_of(image):
    """Ten numbers that any changed pixel changes."""
    digest = hashlib.blake2b(image.tobytes(), digest_size=10).digest()
    return np.frombuffer(digest, np.uint8) / 16 + np.arange(10) / 1000  # no two are equal


def predict(images):
    return [scores_of(np.ascontiguousarray(image)) for image in images]


def rows_of(root, cell):
    if cell.is_clean:
        return np.load(root / "clean/clean.npy")
    own = np.load(root / f"c/{cell.corruption}.npy")
    return own[(cell.severity - 1) * COUNT : cell.severity * COUNT]


def check_by_hand(store, pixels, cells):
    """The stored samples are those of a plain loop over arrays."""
    for cell in cells:
        result, images = store.read(cell), pixels(cell)
        rows = [int(key.rpartition("/")[2].split(".")[0]) for key in result.image_ids]
        scores = np.stack([scores_of(images[row]) for row in rows])
        assert (result.samples["prediction"] == scores.argmax(1)).all()
        sums = np.log(np.exp(scores).sum(1))
        nll = sums - scores[np.arange(len(rows)), result.samples["label"]]
        assert np.abs(nll - result.samples["nll"]).max() < 1e-4


def test_the_model_gets_the_files_pixels(made, tmp_path):
    stl.evaluate(predict, made / "clean", work_dir=tmp_path, corrupted_root=made / "c", **CHOSEN)
    store = CellStore(tmp_path)
    assert set(store.cells()) == {CLEAN, *CELLS}
    check_by_hand(store, lambda cell: rows_of(made, cell), store.cells())
    labels = np.load(made / "clean/labels.npy")
    assert (store.read(CELLS[7]).samples["label"] == labels).all()
    record = store.provenance()
    assert record.notes[0] == (
        "corrupted images: .npy files of 'c', severities 1 to 5 one after another, 200 images each"
    )
    assert record.notes[1] == "clean images: 200 of 32x32 pixels out of 'clean.npy'"
    assert record.corruption_source == "folder:c"
    assert set(record.copy_digests) == {cell.name for cell in CELLS}


def test_a_limit_a_list_and_files_named_by_number(made, tmp_path):
    clean, labels = np.load(made / "clean/clean.npy"), np.load(made / "clean/labels.npy")
    for index in range(COUNT):
        path = tmp_path / f"files/{labels[index]}/{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clean[index]).save(path)
    (tmp_path / "ids.txt").write_text("00150\n00003\n00199\n")
    for name, root, chosen in (
        ("limit", made / "clean", {"limit": 3}),
        ("list", made / "clean", {"image_list": tmp_path / "ids.txt"}),
        ("png", tmp_path / "files", {"limit": 4}),
    ):
        chosen |= {**CHOSEN, "severities": [2, 5]}
        stl.evaluate(predict, root, work_dir=tmp_path / name, corrupted_root=made / "c", **chosen)
        store = CellStore(tmp_path / name)
        check_by_hand(store, lambda cell: rows_of(made, cell), store.cells())
        if name == "list":
            assert store.read(CLEAN).image_ids == ("00003", "00150", "00199")
        if name == "png":
            assert "clean files are named after the images' numbers" in store.provenance().notes[1]


def test_clean_images_of_one_file_are_corrupted_at_their_own_size(made, tmp_path):
    chosen = {**CHOSEN, "corruptions": ["contrast"], "severities": [3], "limit": 5, "mode": "fast"}
    stl.evaluate(predict, made / "clean", work_dir=tmp_path, **chosen)
    clean = np.load(made / "clean/clean.npy")
    by_hand = {
        row: corrupt(clean[row], "contrast", 3, key=f"{row:05d}", mode="fast")
        for row in range(0, COUNT, COUNT // 5)
    }
    check_by_hand(CellStore(tmp_path), lambda _: by_hand, [Cell("contrast", 3)])


def test_a_timm_network_of_another_size_sees_both_through_its_own_preparation(made, tmp_path):
    chosen = {**CHOSEN, "severities": [1], "limit": 4}
    del chosen["version"]
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=10).eval()
    stl.evaluate(network, made / "clean", work_dir=tmp_path, corrupted_root=made / "c", size=48,
                 crop_pct=1.0, interpolation="bicubic", mean=[0.5], std=[0.5],
                 **chosen)  # fmt: skip
    store = CellStore(tmp_path)
    result = store.read(CELLS[0])
    for row, key in enumerate(result.image_ids):
        pixels = Image.fromarray(rows_of(made, CELLS[0])[int(key)]).resize((48, 48), 3)
        values = torch.tensor(np.array(pixels) / 255 - 0.5).div(0.5).permute(2, 0, 1)[None]
        with torch.no_grad():
            logits = network(values.float())[0]
        assert result.samples["prediction"][row] == int(logits.argmax())
    assert ", corrupted files through the same crop" in store.provenance().inference


@pytest.fixture
def copied(made, tmp_path):
    return shutil.copytree(made / "c", tmp_path / "c")


def swap(path):
    labels = np.load(path)
    labels[[COUNT + 3, COUNT + 4]] = labels[[COUNT + 3, COUNT + 4]] + 1
    np.save(path, labels)


def rewrite(path, change):
    np.save(path, change(np.load(path)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: (c / "labels.npy").unlink(), "labels.npy' does not exist; expected a .npy copy"),
        (lambda c: swap(c / "labels.npy"),
         r"has label \d+ for image '00003' of severity 2, .*\(2 of 1000 differ\)"),
        (lambda c: rewrite(c / "labels.npy", lambda a: a[:-1]), "999 labels; expected 5 x 200"),
        (lambda c: rewrite(c / "labels.npy", lambda a: a[:-5]), "995 labels; expected 5 x 200"),
        (lambda c: (c / "fog.npy").unlink(),
         r"cell 'fog-1' is missing \(expected file '.*fog.npy'\); 5 of 10 cells are missing"),
        (lambda c: rewrite(c / "fog.npy", lambda a: a[:-COUNT]), r"\(800, 32, 32, 3\); expected"),
        (lambda c: rewrite(c / "fog.npy", lambda a: a[:, :16, :16]), r"\(1000, 16, 16, 3\); exp"),
        (lambda c: rewrite(c / "fog.npy", lambda a: a / 255), "float64; expected images as"),
        (lambda c: (c / "fog.npy").write_bytes((c / "fog.npy").read_bytes()[:-9]), "no whole .npy"),
        (lambda c: rewrite(c / "fog.npy", lambda a: np.tile(
            np.load(c.parent / "clean.npy"), (5, 1, 1, 1))), "and others are the clean images"),
    ],
)  # fmt: skip
def test_a_copy_that_does_not_fit(spoil, message, made, copied):
    shutil.copy(made / "clean/clean.npy", copied.parent)
    spoil(copied)
    source = open_images(made / "clean", option="--data-root")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find_array_copy(copied, CELLS, source)


def test_cells_that_are_missing_can_be_left_out(made, copied):
    (copied / "fog.npy").unlink()
    source = open_images(made / "clean", option="--data-root")
    found = find_array_copy(copied, CELLS, source, allow_missing=True)
    assert set(found.folders) == set(CELLS[5:])
    assert set(found.lacking) == set(CELLS[:5])


@pytest.mark.parametrize("names", [("a", "b"), ("0", "900"), ("0001", "1")])
def test_files_that_are_not_numbered_are_refused(names, made, tmp_path):
    for label, name in enumerate(names):
        path = tmp_path / f"png/{label}/{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(path)
    source = open_images(tmp_path / "png", option="--data-root")
    with pytest.raises(ValueError, match=r"which number of the test set '.*' has.*clean.npy with"):
        find_array_copy(made / "c", CELLS, source)


def test_data_without_a_folder_are_refused(made, tmp_path):
    pairs = [(np.full((32, 32, 3), value, np.uint8), value % 10) for value in range(4)]
    with pytest.raises(ValueError, match=r"holds .npy files, which are read for classifiers alone"):
        stl.evaluate(predict, pairs, classes=list("abcdefghij"), work_dir=tmp_path,
                     corrupted_root=made / "c", **CHOSEN)  # fmt: skip


def test_another_copy_of_the_same_name_is_noticed(made, copied):
    source = open_images(made / "clean", option="--data-root")
    first = find_array_copy(made / "c", CELLS, source).digests
    rewrite(copied / "fog.npy", lambda a: np.concatenate([a[:-1], 255 - a[-1:]]))
    second = find_array_copy(copied, CELLS[5:], source).digests  # of cells not asked for too
    assert {name for name in first if first[name] != second[name]} == {"fog-5"}
