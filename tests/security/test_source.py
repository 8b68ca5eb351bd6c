"""What the code of this repository never calls, found in its syntax trees."""

from __future__ import annotations

import ast

import pytest

NEVER = {
    "eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads",
    "pickle.Unpickler", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load",
    "marshal.load", "marshal.loads", "shelve.open", "joblib.load", "dill.load", "dill.loads",
    "torch.jit.load", "torch.hub.load", "np.fromfile", "subprocess.getoutput",
    "subprocess.getstatusoutput", "shutil.unpack_archive", "tempfile.mktemp",
}  # fmt: skip
NEVER_METHODS = {"extractall"}  # of archives
SYSTEM_ERRORS = {
    "OSError", "FileExistsError", "FileNotFoundError", "IsADirectoryError", "NotADirectoryError",
    "PermissionError", "TimeoutError",
}  # fmt: skip
PLACES = ("stl_backbones", "tools", "benchmarks", "requirements", "setup.py")
# The one place where a checkpoint's code is run, after --trust-checkpoint.
TRUSTED = {("stl_backbones/models/checkpoint_files.py", "_unpickle")}


def name_of(node):
    """The dotted name of what is called, as it is written."""
    if isinstance(node, ast.Attribute):
        inner = name_of(node.value)
        return f"{inner}.{node.attr}" if inner else f"?.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def problem_of(call, function, path):
    """What is wrong with a call; empty if nothing."""
    name = name_of(call.func)
    given = {word.arg: word.value for word in call.keywords}

    def is_constant(word, value):
        return isinstance(given.get(word), ast.Constant) and given[word].value is value

    if name in NEVER or name.rpartition(".")[2] in NEVER_METHODS:
        return name
    if name == "torch.load" and not is_constant("weights_only", True):
        return "" if (path, function) in TRUSTED else "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and not is_constant("allow_pickle", False):
        return "np.load without allow_pickle=False"
    if name in SYSTEM_ERRORS and len(call.args) < 2:
        return f"{name} without a number: a tool would call it a bug of ours"
    if "shell" in given and not is_constant("shell", False):
        return "a shell"
    return ""


def find_problems(source, path):
    found = []

    def visit(node, function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Call) and (problem := problem_of(node, function, path)):
            found.append(f"{path}:{node.lineno}: {problem}")
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{one.name}" for one in node.names}
            found.extend(f"{path}:{node.lineno}: {name}" for name in sorted(names & NEVER))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), "<module>")
    return found


def test_no_source_runs_what_it_reads(repo_root):
    files = [
        file
        for place in PLACES
        for file in (repo_root.glob(place if place.endswith(".py") else f"{place}/**/*.py"))
    ]
    assert len(files) > 200
    problems = [
        problem
        for file in files
        for problem in find_problems(
            file.read_text(encoding="utf-8"), file.relative_to(repo_root).as_posix()
        )
    ]
    assert problems == []


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')", "import os\nos.system('ls')", "import yaml\nyaml.load(f)", "torch.load(f)",
        "torch.load(f, weights_only=False)", "torch.load(f, weights_only=x)", "np.load(f)",
        "np.load(f, allow_pickle=True)", "subprocess.run('ls', shell=True)", "tar.extractall(p)",
        "open_tar().extractall(p)", "from pickle import loads", "def f():\n    pickle.load(f)",
    ],
)  # fmt: skip
def test_each_of_them_would_be_found(source):
    assert len(find_problems(source, "x.py")) == 1


def test_the_trusted_place_is_one_function(repo_root):
    (path, function), *others = TRUSTED
    assert not others
    source = (repo_root / path).read_text(encoding="utf-8")
    assert len(find_problems(source, "elsewhere.py")) == 1, "one torch.load may run code"
    assert find_problems(source, path) == []
    assert function in source
