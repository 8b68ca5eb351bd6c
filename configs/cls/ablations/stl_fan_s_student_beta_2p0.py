# Table 10: weight 2.0 of the token loss.
_base_ = ["../stl_fan_s_student.py"]
model = dict(beta=2.0)
