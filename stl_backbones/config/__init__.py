"""Reading and checking configs; the settings that OpenMMLab needs."""
