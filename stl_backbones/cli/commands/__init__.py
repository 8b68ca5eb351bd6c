"""The commands, a module each: what `stl NAME` and tools/NAME.py run.

A module has `parse()`, which returns its parser, and `main(argv=None)`, which returns its exit
code. The first line of its docstring is what `stl --help` says of it.
"""
