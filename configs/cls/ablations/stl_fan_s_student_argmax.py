# Beside Table 7: the likeliest class in place of a drawn one.
_base_ = ["../stl_fan_s_student.py"]
model = dict(token_labels="argmax")
