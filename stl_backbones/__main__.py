"""`python -m stl_backbones` is `stl`."""

from stl_backbones.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
