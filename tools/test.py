"""As a file of the repository: stl_backbones/cli/commands/test.py."""

from stl_backbones.cli import end_silently_on_ctrl_c

if __name__ == "__main__":
    end_silently_on_ctrl_c()
    from stl_backbones.cli.commands.test import main

    raise SystemExit(main())
