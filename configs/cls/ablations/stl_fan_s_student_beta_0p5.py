# Table 10: weight 0.5 of the token loss.
_base_ = ["../stl_fan_s_student.py"]
model = dict(beta=0.5)
