"""As a file of the repository: stl_backbones/cli/commands/bundle.py."""

from stl_backbones.cli.commands.bundle import main

if __name__ == "__main__":
    raise SystemExit(main())
