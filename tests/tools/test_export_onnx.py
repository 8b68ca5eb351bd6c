"""The ONNX tool as a user runs it."""

import pytest

CONFIG = "configs/seg/stl_fan_t_mini.py"


@pytest.mark.slow
def test_it_writes_a_checked_file(run_tool, tmp_path, mini_checkpoint):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "seg.onnx"
    done = run_tool("export_onnx.py", CONFIG, mini_checkpoint, out, "--size", "32", "48")
    assert done.returncode == 0, done.stderr
    assert "stl_fan_t_mini, opset 20: logits 1x19x32x48" in done.stdout
    assert "allowed 1e-04" in done.stdout
    assert done.stderr == ""
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert [value.shape for value in session.get_inputs()] == [[1, 3, 32, 48]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tiny_hybrid", "out.onnx"], "the following arguments are required: --size"),
        ([CONFIG, "gone.pth", "out.onnx", "--size", "32", "32"], "'gone.pth' does not exist"),
        (["tiny_vit", "out.onnx", "--size", "8", "8"], "image sides must be at least 32, got 8x8"),
    ],
)
def test_bad_input_is_one_line(run_tool, tmp_path, words, message):
    pytest.importorskip("onnxruntime")
    words = [tmp_path / word if word.startswith("out.") else word for word in words]
    done = run_tool("export_onnx.py", *words)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("export_onnx.py: error: ")
    assert "Traceback" not in done.stderr
    assert message in last.replace(f"{tmp_path}/", "")
    assert list(tmp_path.iterdir()) == []
