"""As a file of the repository: stl_backbones/cli/commands/test.py."""

from stl_backbones.cli.commands.test import main

if __name__ == "__main__":
    raise SystemExit(main())
