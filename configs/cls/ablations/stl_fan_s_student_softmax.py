# Table 7: the labeler's distribution in place of a drawn class.
_base_ = ["../stl_fan_s_student.py"]
model = dict(token_labels="softmax")
