"""As a file of the repository: stl_backbones/cli/commands/make_mini_data.py."""

from stl_backbones.cli.commands.make_mini_data import main

if __name__ == "__main__":
    raise SystemExit(main())
