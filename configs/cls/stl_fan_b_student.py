# Stage 2 of STL: the student FAN-B-Hybrid on ImageNet, by Table 11 (2048 images a step).
# Its labeler is what stl_fan_b_labeler.py wrote, or --cfg-options labeler=FILE.
_base_ = [
    "../_base_/models/stl_student.py",
    "../_base_/datasets/imagenet_two_views.py",
    "../_base_/schedules/pretrain_350e_2048.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(
    arch="base_hybrid",
    drop_path_rate=0.35,
    labeler=dict(checkpoint="work_dirs/stl_fan_b_labeler/epoch_360.pth"),
)
