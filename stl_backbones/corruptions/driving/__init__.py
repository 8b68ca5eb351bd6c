"""Driving weather and sensors on physical axes: a level is a number in a unit, not a grade.

Each is ``(image, level, rng) -> image``; `fog` takes the depth map too. Formulas work on linear
light unless they say otherwise. What the camera is, where an image does not say, is in `camera`.
"""
