# Stage 1: FAN-TL, Eq. 2.
_base_ = ["./stl_classifier.py"]
model = dict(type="stl_backbones.TokenLabeler", loss_mode="cls_and_gap", alpha=1.0)
