# beside A.1: the loss of the pooled token alone.
_base_ = ["../stl_fan_s_labeler.py"]
model = dict(loss_mode="gap")
