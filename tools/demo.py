"""As a file of the repository: stl_backbones/cli/commands/demo.py."""

from stl_backbones.cli.commands.demo import main

if __name__ == "__main__":
    raise SystemExit(main())
