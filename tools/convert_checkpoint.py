"""As a file of the repository: stl_backbones/cli/commands/convert_checkpoint.py."""

from stl_backbones.cli.commands.convert_checkpoint import main

if __name__ == "__main__":
    raise SystemExit(main())
