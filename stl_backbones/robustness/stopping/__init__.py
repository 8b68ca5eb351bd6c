"""Sweeps that stop when their question is answered; see `stl_backbones.sequential`."""
