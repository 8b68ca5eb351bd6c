# Table 8: FAN-L-Hybrid, labelled by FAN-TL-B-Hybrid.
_base_ = ["../stl_fan_l_student.py"]
model = dict(labeler=dict(checkpoint="work_dirs/stl_fan_b_labeler/epoch_360.pth"))
