"""Reading and checking configs; what OpenMMLab needs to be told."""
