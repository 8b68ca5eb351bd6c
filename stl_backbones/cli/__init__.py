"""Parsers, options, exit codes and interrupts of the commands."""
