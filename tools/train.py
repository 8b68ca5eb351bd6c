"""As a file of the repository: stl_backbones/cli/commands/train.py."""

from stl_backbones.cli.commands.train import main

if __name__ == "__main__":
    raise SystemExit(main())
