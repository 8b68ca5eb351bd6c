# beside A.1: the image's label on every token.
_base_ = ["../stl_fan_s_labeler.py"]
model = dict(loss_mode="per_token")
