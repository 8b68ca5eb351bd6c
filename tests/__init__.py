"""A package by its file: mmsegmentation 1.2.2 installs another one of this name."""
