# Stage 2 of STL: the student FAN-T-Hybrid on ImageNet, by Table 11 (1024 images a step).
# Its labeler is what stl_fan_t_labeler.py wrote, or --cfg-options labeler=FILE.
_base_ = [
    "../_base_/models/stl_student.py",
    "../_base_/datasets/imagenet_two_views.py",
    "../_base_/schedules/pretrain_350e.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(
    arch="tiny_hybrid",
    drop_path_rate=0.05,
    labeler=dict(checkpoint="work_dirs/stl_fan_t_labeler/epoch_360.pth"),
)
