# A.1: no gradient from the pooled token into the trunk.
_base_ = ["../stl_fan_s_labeler.py"]
model = dict(loss_mode="cls_and_gap_stopgrad")
