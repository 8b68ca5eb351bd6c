"""Checkpoints by their address, from a local server, and files called by wrong names."""

import functools
import hashlib
import http.server
import threading
import urllib.request

import pytest
import torch
from safetensors.torch import save_file

from stl_backbones.errors import InputError
from stl_backbones.models import read_checkpoint
from stl_backbones.models.fetching import address_of, local_file


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, and its address."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    torch.save({"w": torch.full((1,), float(value))}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint_is_fetched_once(served):
    folder, address = served
    write(folder / "net.pth", 3)
    assert read_checkpoint(f"{address}/net.pth")["w"] == 3
    (folder / "net.pth").unlink()
    assert read_checkpoint(f"{address}/net.pth")["w"] == 3


def test_two_files_of_one_name_are_two(served):
    """Every repository of the hub has a model.safetensors."""
    folder, address = served
    for name, value in (("a", 1), ("b", 2)):
        write(folder / name / "model.pth", value)
    assert [read_checkpoint(f"{address}/{x}/model.pth")["w"].item() for x in "ab"] == [1, 2]


def test_the_hash_in_a_name_is_checked(served):
    folder, address = served
    digest = write(folder / "net.pth", 3)
    good, bad = f"net-{digest[:8]}.pth", f"net_20200606_114143-{'a1' * 4}.pth"
    for name in (good, bad):
        (folder / name).write_bytes((folder / "net.pth").read_bytes())
    assert local_file(f"{address}/{good}", progress=False).name == good
    with pytest.raises(InputError, match="is not what its name says: invalid hash value"):
        local_file(f"{address}/{bad}", progress=False)


def test_a_date_is_no_hash(served):
    folder, address = served
    write(folder / "net-20200606.pth", 3)
    assert read_checkpoint(f"{address}/net-20200606.pth")["w"] == 3


def test_a_path_that_was_an_address(served):
    assert address_of("https:/a.b/c.pth") == "https://a.b/c.pth"
    assert address_of("https/a.pth") is None


def test_what_cannot_be_fetched_comes_with_the_command(served):
    _, address = served
    with pytest.raises(
        InputError, match=r"gone.pth' cannot be fetched .*404.*`curl -LO http://127"
    ):
        read_checkpoint(f"{address}/gone.pth")


def test_safetensors_by_another_name(tmp_path):
    """The hub's pytorch_model.bin are often this; no word of --trust-checkpoint."""
    save_file({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert read_checkpoint(tmp_path / "pytorch_model.bin")["w"].tolist() == [1, 1]


def test_a_torch_file_called_safetensors(tmp_path):
    write(tmp_path / "model.safetensors", 4)
    assert read_checkpoint(tmp_path / "model.safetensors")["w"] == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "it is a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>sign in</html>", "it is a web page"),
    ],
)
@pytest.mark.parametrize("name", ["net.pth", "net.bin"])
def test_what_was_not_fetched(tmp_path, content, message, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / name)
