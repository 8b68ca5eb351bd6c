"""Pictures of what a model gets wrong on corrupted images.

The images are chosen from the records of a sweep, made and predicted again, and drawn.
"""
