"""docs/examples of models from elsewhere, the very files."""

import sys

import numpy as np
import pytest

CHILD = """
import sys
import numpy as np
stream = sys.stdin.buffer
while line := stream.readline():
    height, width = map(int, line.split())
    pixels = np.frombuffer(stream.read(3 * height * width), np.uint8).reshape(-1, 3)
    print(*pixels.mean(axis=0), flush=True)
"""


@pytest.fixture(autouse=True)
def examples(repo_root, monkeypatch):
    monkeypatch.syspath_prepend(repo_root / "docs/examples")


def test_another_program_scores_images():
    from subprocess_model import SubprocessModel

    model = SubprocessModel([sys.executable, "-c", CHILD], version="1")
    images = [np.full((h, 4, 3), (h, 2 * h, 10), np.uint8) for h in (3, 5)]
    np.testing.assert_array_equal(model.predict(images), [[3, 6, 10], [5, 10, 10]])
    model.program.stdin.close()
    model.program.wait()
    model.program.stdout.close()


def test_a_program_that_ends_is_named():
    from subprocess_model import SubprocessModel

    ends = "import sys; sys.stdin.buffer.readline(); sys.exit(3)"
    model = SubprocessModel([sys.executable, "-c", ends], version="1")
    with pytest.raises(RuntimeError, match="ended with exit code 3"):
        model.predict([np.zeros((2, 2, 3), np.uint8)])
    model.program.stdin.close()
    model.program.stdout.close()


def test_fastestdet_reads_cells():
    from fastestdet import decode

    cells = np.zeros((1, 5 + 2, 4, 4), np.float32)
    # Row 1, column 2 of 4x4: centre (2 + tanh 0.5) / 4, (1 + tanh 0) / 4; sides half and a quarter.
    cells[0, :, 1, 2] = [0.5, 0.5, 0, 0, np.log(1 / 3), 0.2, 0.8]
    found = decode({"758": cells}, (352, 352), (100, 200))
    x = (2 + np.tanh(0.5)) / 4 * 200
    np.testing.assert_allclose(found.boxes, [[x - 50, 25 - 12.5, x + 50, 25 + 12.5]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.5**0.6 * 0.8**0.4], rtol=1e-5)
    assert found.labels.tolist() == [1]


def test_tflite_needs_its_package_alone(tmp_path):
    pytest.importorskip("ai_edge_litert")
    from tflite_model import LabelMaps

    (tmp_path / "x.tflite").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"(?i)could not|model provided"):
        LabelMaps(tmp_path / "x.tflite")
