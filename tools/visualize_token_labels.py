"""As a file of the repository: stl_backbones/cli/commands/visualize_token_labels.py."""

from stl_backbones.cli.commands.visualize_token_labels import main

if __name__ == "__main__":
    raise SystemExit(main())
