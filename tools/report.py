"""As a file of the repository: stl_backbones/cli/commands/report.py."""

from stl_backbones.cli.commands.report import main

if __name__ == "__main__":
    raise SystemExit(main())
