# FAN-mini-ViT as the student of stl_fan_mini_cifar10_labeler.py, or of --cfg-options labeler=FILE.
_base_ = [
    "../_base_/models/stl_student.py",
    "../_base_/datasets/cifar10_two_views.py",
    "../_base_/schedules/pretrain_cifar10.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(
    arch="mini_vit",
    num_classes=10,
    drop_path_rate=0.0,
    released_norm=False,
    labeler=dict(checkpoint="work_dirs/stl_fan_mini_cifar10_labeler/epoch_30.pth"),
    data_preprocessor=dict(num_classes=10, erase_prob=0.1, mixup_alpha=0.2, cutmix_alpha=0.5),
)
