"""As a file of the repository: stl_backbones/cli/commands/show_failures.py."""

from stl_backbones.cli.commands.show_failures import main

if __name__ == "__main__":
    raise SystemExit(main())
