# Table 8: FAN-S-Hybrid, labelled by FAN-TL-L-Hybrid.
_base_ = ["../stl_fan_s_student.py"]
model = dict(labeler=dict(checkpoint="work_dirs/stl_fan_l_labeler/epoch_360.pth"))
