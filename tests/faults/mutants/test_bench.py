"""Which tests a mutant meets first, and what is said of the ones that none noticed."""

from faults.mutants.__main__ import render
from faults.mutants.bench import order_tests


def test_the_tests_of_a_module_come_first(tmp_path):
    texts = {
        "bar/test_waves.py": "",
        "bar/test_warps.py": "import stl_backbones.corruptions.bar.waves\n",
        "bar/test_a.py": "import stl_backbones.corruptions.bar.waves_of_others\n",
        "test_engine.py": "from stl_backbones.corruptions.bar.waves import wave\n",
        "test_catalog.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    ordered = order_tests(tmp_path.rglob("test_*.py"), "stl_backbones/corruptions/bar/waves.py")
    assert [path.name for path in ordered] == [
        "test_waves.py", "test_warps.py", "test_engine.py", "test_a.py", "test_catalog.py"
    ]  # fmt: skip


def test_the_table_counts_and_lists_what_was_not_noticed():
    noticed = {"module": "m.py", "before": "a", "after": "b", "noticed_by": "t", "at_first": True}
    missed = {**noticed, "noticed_by": "", "at_first": False}
    found = [noticed, {**noticed, "at_first": False}, missed, {**missed, "after": "c | d"}]
    lines = render({"p": found, "q": [noticed]}, {("m.py", "a", "b"): "equal"}).splitlines()
    assert lines[7:10] == ["| p | 4 | 1 | 2 | 1 | 1 |", "| q | 1 | 1 | 1 | 0 | 0 |",
                          "| all | 5 | 2 | 3 | 1 | 1 |"]  # fmt: skip
    assert lines[-2:] == ["| m.py | `a` | `b` | equal |", "| m.py | `a` | `c \\| d` | open |"]
