# Table 9: FAN-S-Hybrid, labelled by a CNN, location by location.
# timm downloads the weights; offline, give their file: --cfg-options labeler=FILE.
_base_ = ["../stl_fan_s_student.py"]
model = dict(labeler=dict(timm_name="dm_nfnet_f6", checkpoint=None))
