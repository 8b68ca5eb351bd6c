"""As a file of the repository: stl_backbones/cli/commands/generate_corruptions.py."""

from stl_backbones.cli.commands.generate_corruptions import main

if __name__ == "__main__":
    raise SystemExit(main())
