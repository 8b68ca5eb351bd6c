"""Corruptions and protocols of one's own: what is taken, what is refused, and how it is found."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from stl_backbones.corruptions import (
    CORRUPTIONS,
    GROUPS,
    PROTOCOLS,
    Protocol,
    check_corruption,
    custom_corruption,
    custom_versions,
    get_protocol,
    import_modules,
    protocol_names,
    register_corruption,
    register_protocol,
)
from stl_backbones.records import CLEAN, Cell

pytestmark = pytest.mark.usefixtures("own_catalog")

MODULE = """
import numpy as np
from stl_backbones.corruptions import Protocol, register_corruption, register_protocol

@register_corruption("own_dim", group="weather", version="2")
def dim(image, severity, rng):
    return (image // (1 + severity)).astype(np.uint8)

register_protocol(Protocol("own-rain", {"weather": ["own_dim", "fog"]}, "us",
                           severities={"fog": [1, 3]}))
"""


def dim(image, severity, rng):
    return (image // (1 + severity)).astype(np.uint8)


def brighten(image, severity, rng):
    return np.clip(image + 30 * severity, 0, 255).astype(np.uint8)


@pytest.fixture
def registered():
    return register_corruption("own_dim", group="weather", version="2")(dim)


class TestCorruptions:
    def test_every_lookup_knows_it(self, registered):
        assert registered is dim
        check_corruption("own_dim")
        found = custom_corruption("own_dim")
        assert (found.name, found.group, found.version, found.function) == (
            "own_dim", "weather", "2", dim,
        )  # fmt: skip
        assert custom_versions(["fog", "own_dim"]) == {"own_dim": "2"}
        with pytest.raises(KeyError, match=r"did you mean own_dim.*, own_dim, or one of your own"):
            check_corruption("own_dimm")

    def test_the_built_in_ones_stay(self, registered):
        assert len(CORRUPTIONS) == 19
        assert "own_dim" not in GROUPS["weather"]
        assert custom_corruption("fog") is None
        assert custom_corruption("nothing") is None

    def test_the_same_function_again_replaces_itself(self, registered):
        register_corruption("own_dim", group="weather", version="3")(dim)
        assert custom_corruption("own_dim").version == "3"

    def test_another_function_of_that_name(self, registered):
        message = (
            r"corruption 'own_dim' is registered twice: by dim in '.*test_registration.py' and by "
            r"brighten in '.*test_registration.py'; choose another name"
        )
        with pytest.raises(ValueError, match=message):
            register_corruption("own_dim", group="weather", version="2")(brighten)
        assert custom_corruption("own_dim").function is dim

    @pytest.mark.parametrize("name", ["Rain", "rain-streaks", "1rain", "", "räin", "a/b", "..", 3])
    def test_names_that_are_no_folder(self, name):
        with pytest.raises(ValueError, match="corruption name must be lower case letters"):
            register_corruption(name, group="weather", version="1")

    def test_names_that_are_taken(self):
        with pytest.raises(ValueError, match="'fog' is built in; choose another name"):
            register_corruption("fog", group="weather", version="1")

    @pytest.mark.parametrize("name", ["clean", "average", "mce", "all", "mpc", "weather", "none"])
    def test_names_of_other_numbers(self, name):
        with pytest.raises(ValueError, match=f"corruption name '{name}' is reserved"):
            register_corruption(name, group="weather", version="1")

    def test_a_group_is_no_mean_either(self):
        with pytest.raises(ValueError, match="corruption group 'retention' is reserved"):
            register_corruption("own_dim", group="retention", version="1")

    @pytest.mark.parametrize("group", ["", "My Weather"])
    def test_groups(self, group):
        with pytest.raises(ValueError, match="corruption group must be"):
            register_corruption("own_dim", group=group, version="1")

    @pytest.mark.parametrize("version", ["", " ", "1\n", 1, None])
    def test_versions(self, version):
        with pytest.raises(ValueError, match="version must be a text like '1', got"):
            register_corruption("own_dim", group="weather", version=version)

    @pytest.mark.parametrize("function", [lambda image, severity: image, 3, "dim"])
    def test_functions_that_cannot_be_called(self, function):
        with pytest.raises(ValueError, match=r"must be a function \(image, severity, rng\), got"):
            register_corruption("own_dim", group="weather", version="1")(function)


class TestProtocols:
    @pytest.fixture
    def protocol(self, registered):
        columns = {"weather": ["own_dim", "fog"], "noise": ("shot_noise",)}
        return register_protocol(Protocol("own", columns, "us", severities={"shot_noise": [1, 5]}))

    def test_every_lookup_knows_it(self, protocol):
        assert get_protocol("own") is protocol
        assert protocol_names() == (*PROTOCOLS, "own")
        assert protocol.corruptions == ("own_dim", "fog", "shot_noise")
        assert protocol.cells(severities=[1, 2]) == (
            CLEAN, Cell("own_dim", 1), Cell("own_dim", 2), Cell("fog", 1), Cell("fog", 2),
            Cell("shot_noise", 1),
        )  # fmt: skip
        with pytest.raises(KeyError, match=r"one of .*coco-c, .*own, or one of your own"):
            get_protocol("owl")

    def test_only_published_numbers_default_to_the_exact_engine(self, protocol):
        modes = {name: get_protocol(name).default_mode for name in protocol_names()}
        assert modes == {
            "imagenet-c": "exact", "stl-imagenet-c": "exact", "stl-imagenet-c-17": "exact",
            "stl-cityscapes-c": "exact", "coco-c": "exact", "cifar10-c": "exact",
            "imagenet-c-bar": "exact", "cifar10-c-bar": "exact", "all": "fast",
            "c-bar": "fast", "driving": "fast", "own": "fast",
        }  # fmt: skip

    def test_an_equal_one_again(self, protocol):
        columns = {"weather": ("own_dim", "fog"), "noise": ["shot_noise"]}
        register_protocol(Protocol("own", columns, "us", severities={"shot_noise": (1, 5)}))

    def test_another_one_of_that_name(self, protocol):
        with pytest.raises(ValueError, match=r"'own' is registered twice .* by 'us' \(12 cells\)"):
            register_protocol(Protocol("own", {"weather": ("fog",)}, "them"))
        assert get_protocol("own") is protocol

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"name": "all"}, ValueError, "'all' is built in"),
            ({"name": "My own"}, ValueError, "protocol name must be"),
            ({"name": "average"}, ValueError, "protocol name 'average' is reserved"),
            ({"columns": {}}, ValueError, "protocol 'own' has no columns"),
            ({"columns": {"clean": ("fog",)}}, ValueError, "'own': group 'clean' is reserved"),
            ({"columns": {"fog/5": ("fog",)}}, ValueError, "name without '/', ':' and '='"),
            ({"columns": {"noise": ()}}, ValueError, "group 'noise' has no corruption"),
            ({"columns": {"noise": "fog"}}, ValueError, "'noise' needs a list, got 'fog'"),
            ({"columns": {"noise": ("fogg",)}}, KeyError, r"did you mean fog"),
            ({"columns": {"a": ("fog",), "b": ("fog",)}}, ValueError, "has fog more than once"),
            ({"severities": {"fog": ()}}, ValueError, "severities of 'fog' must be different"),
            ({"severities": {"fog": (1, 1)}}, ValueError, "different and at least one"),
            (
                {"severities": {"fog": (0,)}},
                ValueError,
                r"severity must be a number in 1\.\.5, got 0",
            ),
            ({"severities": {"fog": 3}}, ValueError, "'fog' needs a list, got 3"),
            ({"severities": {"snow": (1,)}}, ValueError, "of 'snow', which is in no column"),
        ],
    )
    def test_what_does_not_fit(self, change, error, message):
        fields = {"name": "own", "columns": {"weather": ("fog",)}, "source": "us"}
        with pytest.raises(error, match=message):
            register_protocol(Protocol(**{**fields, **change}))
        assert "own" not in protocol_names()


class TestModules:
    @pytest.fixture
    def module(self, tmp_path):
        path = tmp_path / "own_rain.py"
        path.write_text(MODULE)
        return path

    def test_by_path(self, module):
        import_modules([str(module)])
        assert custom_corruption("own_dim").version == "2"
        assert get_protocol("own-rain").severities == {"own_dim": (1, 2, 3, 4, 5), "fog": (1, 3)}

    def test_by_name(self, module, monkeypatch):
        monkeypatch.syspath_prepend(module.parent)
        import_modules(["own_rain"])
        assert custom_corruption("own_dim").version == "2"

    def test_by_both_and_twice(self, module, monkeypatch):
        import_modules([str(module), str(module)])
        monkeypatch.syspath_prepend(module.parent)
        import_modules(["own_rain", str(module)])
        del sys.modules["own_rain"]
        import_modules([str(module)])  # another module object of the same file
        assert custom_corruption("own_dim").version == "2"

    def test_nothing(self):
        import_modules([])

    @pytest.mark.parametrize(
        ("names", "error", "message"),
        [
            (
                ["own_nowhere"],
                ValueError,
                "no module 'own_nowhere' to import; put its folder on PY",
            ),
            (
                ["stl_backbones.own_gone"],
                ValueError,
                "no module 'stl_backbones.own_gone' to import",
            ),
            (["gone/own.py"], FileNotFoundError, "module file 'gone/own.py' does not exist"),
        ],
    )
    def test_what_is_not_there(self, names, error, message):
        with pytest.raises(error, match=message):
            import_modules(names)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("import gone_from_here", "cannot be imported: No module named 'gone_from_here'"),
            ("def", "cannot be imported: SyntaxError: invalid syntax"),
            ("undefined", "cannot be imported: NameError: name 'undefined' is not defined"),
            (MODULE.replace('"own_dim", g', '"fog", g'), "'fog' is built in"),
        ],
    )
    def test_broken_modules(self, module, text, message):
        module.write_text(text)
        for _ in range(2):  # half a module is not taken for a whole one later
            with pytest.raises(ValueError, match=message):
                import_modules([str(module)])

    def test_a_file_named_like_another_module(self, tmp_path):
        path = tmp_path / "colorsys.py"
        path.write_text(MODULE)
        with pytest.raises(
            ValueError, match=r"has the name of another module, .*colorsys\.py; ren"
        ):
            import_modules([str(path)])

    def test_a_file_that_is_no_module(self, tmp_path):
        path = tmp_path / "own-rain.py"
        path.write_text(MODULE)
        with pytest.raises(ValueError, match="'own-rain' is no module name"):
            import_modules([str(path)])
