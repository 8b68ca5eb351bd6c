# FAN-T-Hybrid as the student of stl_fan_t_mini_labeler.py: minutes on two CPU cores.
# Its labeler is what stl_fan_t_mini_labeler.py wrote, or --cfg-options labeler=FILE.
_base_ = [
    "../_base_/models/stl_student.py",
    "../_base_/datasets/mini_imagenet_two_views.py",
    "../_base_/schedules/pretrain_mini.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(
    arch="tiny_hybrid",
    num_classes=10,
    drop_path_rate=0.0,
    released_norm=False,
    labeler=dict(checkpoint="work_dirs/stl_fan_t_mini_labeler/epoch_40.pth"),
    data_preprocessor=dict(num_classes=10, erase_prob=0.1, mixup_alpha=0.2, cutmix_alpha=0.5),
)
