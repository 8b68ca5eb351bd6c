"""Generated street scenes: images with labels and objects."""
