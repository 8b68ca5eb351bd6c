"""As a file of the repository: stl_backbones/cli/commands/export_onnx.py."""

from stl_backbones.cli.commands.export_onnx import main

if __name__ == "__main__":
    raise SystemExit(main())
