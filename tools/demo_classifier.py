"""As a file of the repository: stl_backbones/cli/commands/demo_classifier.py."""

from stl_backbones.cli.commands.demo_classifier import main

if __name__ == "__main__":
    raise SystemExit(main())
