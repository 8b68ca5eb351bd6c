# A.1: the class loss alone.
_base_ = ["../stl_fan_s_labeler.py"]
model = dict(loss_mode="cls")
