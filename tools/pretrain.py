"""As a file of the repository: stl_backbones/cli/commands/pretrain.py."""

from stl_backbones.cli.commands.pretrain import main

if __name__ == "__main__":
    raise SystemExit(main())
