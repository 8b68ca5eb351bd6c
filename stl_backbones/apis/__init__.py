"""What the command line tools call: the only layer that wires the stages together."""
