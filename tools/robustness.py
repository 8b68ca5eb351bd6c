"""As a file of the repository: stl_backbones/cli/commands/robustness.py."""

from stl_backbones.cli.commands.robustness import main

if __name__ == "__main__":
    raise SystemExit(main())
