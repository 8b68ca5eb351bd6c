"""A config's text is mmengine's, and yapf formats it once."""

from unittest import mock

from mmengine.config import Config

from stl_backbones.config import formatting


def test_each_content_is_formatted_once(tmp_path):
    config = Config({"model": {"type": "A", "sizes": [1, 2]}})
    as_mmengine_writes_it = config.pretty_text
    with (
        mock.patch.object(Config, "pretty_text", Config.pretty_text),
        mock.patch.dict(formatting._texts, clear=True),
        mock.patch.object(formatting, "_format", side_effect=formatting._format) as formatted,
    ):
        formatting.format_once()
        assert config.pretty_text == as_mmengine_writes_it
        config.dump(tmp_path / "own.py")
        assert (tmp_path / "own.py").read_text() == as_mmengine_writes_it
        assert list(formatting._texts.values()) == [as_mmengine_writes_it]
        assert formatted.call_count == 3  # twice as it is, once by yapf
        for number in range(20):
            config.model.sizes = [number]
            assert Config.fromstring(config.pretty_text, ".py").model.sizes == [number]
        assert len(formatting._texts) == 8
    assert "_format_python_code" not in config
