"""CIFAR's archives and .npy files as labelled images: read bit for bit, refused when damaged."""

import os
import pickle
import struct

import numpy as np
import pytest

from stl_backbones.datasets.array_images import find_array_images, open_images
from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.datasets.labelled_images import choose_classes, find_images

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HUNDRED = tuple(f"class {number:02d}" for number in range(100))
COUNT = 30
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
LABELS = np.arange(COUNT) * 7 % 10
ROWS = PIXELS.transpose(0, 3, 1, 2).reshape(COUNT, -1)  # all red values first, as CIFAR's


def write_binary_10(root):
    root.mkdir(parents=True, exist_ok=True)
    np.hstack([LABELS[:, None].astype(np.uint8), ROWS]).tofile(root / "test_batch.bin")
    (root / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")


def write_binary_100(root):
    root.mkdir(parents=True, exist_ok=True)
    coarse, fine = np.full((COUNT, 1), 3, np.uint8), LABELS[:, None].astype(np.uint8)
    np.hstack([coarse, fine, ROWS]).tofile(root / "test.bin")
    (root / "fine_label_names.txt").write_text("\n".join(HUNDRED))


def python_2_pickle(pixels, labels):
    """A file of the Python version as Python 2 wrote it: strings of bytes, protocol 2."""
    count, data = len(pixels), pixels.tobytes()
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01"
        b"M" + struct.pack("<H", count) + b"M" + struct.pack("<H", 3072) + b"\x86"
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
        b"tb\x89T" + struct.pack("<I", len(data)) + data + b"tb"
    )
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + numbers + b"eu."


def write_python_10(root):
    root.mkdir(parents=True, exist_ok=True)
    (root / "test_batch").write_bytes(python_2_pickle(ROWS, LABELS))
    names = {b"label_names": [name.encode() for name in TEN]}
    (root / "batches.meta").write_bytes(pickle.dumps(names, protocol=3))


def write_python_100(root):
    root.mkdir(parents=True, exist_ok=True)
    held = {b"data": ROWS, b"fine_labels": LABELS.tolist(), b"coarse_labels": [0] * COUNT}
    (root / "test").write_bytes(pickle.dumps(held, protocol=3))
    names = {b"fine_label_names": [name.encode() for name in HUNDRED]}
    (root / "meta").write_bytes(pickle.dumps(names, protocol=3))


def write_npy(root):
    root.mkdir(parents=True, exist_ok=True)
    np.save(root / "images.npy", PIXELS)
    np.save(root / "labels.npy", LABELS.astype(np.uint8))


WRITERS = {
    "cifar-10-batches-bin": (write_binary_10, TEN),
    "cifar-100-binary": (write_binary_100, HUNDRED),
    "cifar-10-batches-py": (write_python_10, TEN),
    "cifar-100-python": (write_python_100, HUNDRED),
    "npy": (write_npy, tuple("0123456789")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_pixels_labels_and_names_are_the_files(name, tmp_path):
    write, names = WRITERS[name]
    write(tmp_path / name)
    roots = [tmp_path / name, *([] if name == "npy" else [tmp_path])]  # the archive's folder above
    for root in roots:
        source = open_images(root, option="--data-root")
        assert source.classes == names
        order = choose_classes(source, len(names), recorded=None)
        images = find_images(source.named(order.names), names, kind="it", allow_missing=True)
        assert images.keys[:2] == ("00000", "00001")
        assert images.labels.tolist() == LABELS.tolist()
        found = pickle.loads(pickle.dumps(images))  # as a worker that is started anew gets them
        assert all((np.array(found.read(i)) == PIXELS[i]).all() for i in range(COUNT))
        assert len(pickle.dumps(images)) < PIXELS.nbytes / 2


def test_bytes_and_labels_decide_the_fingerprint(tmp_path):
    write_npy(tmp_path)
    options = {"kind": "it", "allow_missing": True}
    first = find_images(find_array_images(tmp_path), tuple("0123456789"), **options)
    some = find_images(find_array_images(tmp_path), tuple("0123456789"), limit=6, **options)
    assert (some.keys[:2], len(some), some.total) == (("00000", "00005"), 6, COUNT)
    other = PIXELS.copy()
    other[7, 31, 31, 2] ^= 1
    np.save(tmp_path / "images.npy", other)
    changed = find_images(find_array_images(tmp_path), tuple("0123456789"), **options)
    assert len({first.fingerprint, some.fingerprint, changed.fingerprint}) == 3


def test_classes_with_numbers_only_take_the_models_names(tmp_path):
    write_npy(tmp_path)
    source = find_array_images(tmp_path)
    order = choose_classes(source, 12, recorded=None)
    assert order.names == tuple(map(str, range(12)))
    assert choose_classes(source, 10, recorded=TEN).names == TEN
    assert source.named(TEN).class_name(1) == TEN[LABELS[1]]
    (tmp_path / "classes.txt").write_text("\n".join(TEN))
    assert find_array_images(tmp_path).classes == TEN


def test_other_folders_are_class_folders(mini_data):
    root = mini_data / "imagenet/val"
    assert isinstance(open_images(root, option="--data-root"), ClassFolders)


class Stateless:
    """An array of which the file says no values."""

    def __reduce__(self):
        return np.arange(3).__reduce__()[:2]


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


def cut(path, by=100):
    path.write_bytes(path.read_bytes()[:-by])


def save(path, array, **options):
    np.save(path, array, **options)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("cifar-10-batches-bin", lambda p: cut(p / "test_batch.bin"), r"no number of rows of 3073"),
        ("cifar-10-batches-bin", lambda p: (p / "batches.meta.txt").unlink(), "not exist; exp"),
        ("cifar-10-batches-bin", lambda p: (p / "batches.meta.txt").write_text("a\nb"),
         "has label 9, its classes are 2"),
        ("cifar-10-batches-bin", write_npy, r"several sets of images \(CIFAR-10, images.npy\)"),
        ("cifar-10-batches-py", lambda p: cut(p / "test_batch"), "or damaged: .* binary version"),
        ("cifar-10-batches-py", lambda p: (p / "test_batch").write_bytes(b"\x80\x04\x95"),
         "or damaged: unpack requires a buffer of 8 bytes"),
        ("cifar-10-batches-py", lambda p: (p / "test_batch").write_bytes(pickle.dumps(Evil())),
         r"it names posix.system; the binary version"),
        ("cifar-10-batches-py", lambda p: (p / "test_batch").write_bytes(pickle.dumps([1])),
         "it holds a list"),
        ("cifar-10-batches-py", lambda p: (p / "test_batch").write_bytes(
            pickle.dumps({b"labels": [0], b"data": Stateless()}, protocol=3)),
         r"expected .data. as"),
        ("cifar-10-batches-py", lambda p: (p / "test_batch").write_bytes(pickle.dumps({})),
         "has no 'labels'"),
        ("npy", lambda p: cut(p / "images.npy"), "no whole .npy file of numbers"),
        ("npy", lambda p: (p / "images.npy").write_bytes(b"<html>"), "no whole .npy file"),
        ("npy", lambda p: save(p / "images.npy", np.array([{}]), allow_pickle=True), "no whole"),
        ("npy", lambda p: save(p / "images.npy", PIXELS / 255), r"\(30, 32, 32, 3\) float64; exp"),
        ("npy", lambda p: save(p / "images.npy", PIXELS.transpose(0, 3, 1, 2)), r"\(30, 3, 32"),
        ("npy", lambda p: save(p / "labels.npy", LABELS[1:]), "30 images, with 29 labels"),
        ("npy", lambda p: save(p / "labels.npy", LABELS / 2), "expected whole numbers"),
        ("npy", lambda p: save(p / "labels.npy", LABELS - 1), "holds label -1"),
        ("npy", lambda p: (p / "labels.npy").unlink(), "labels.npy' does not exist"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused(name, spoil, message, tmp_path):
    WRITERS[name][0](tmp_path / name)
    spoil(tmp_path / name)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find_array_images(tmp_path / name)
