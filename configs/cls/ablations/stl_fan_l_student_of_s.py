# Table 8: FAN-L-Hybrid, labelled by FAN-TL-S-Hybrid.
_base_ = ["../stl_fan_l_student.py"]
model = dict(labeler=dict(checkpoint="work_dirs/stl_fan_s_labeler/epoch_360.pth"))
