# FAN-T-Hybrid on the generated crops and class labels alone: minutes on two CPU cores.
_base_ = [
    "../_base_/models/stl_classifier.py",
    "../_base_/datasets/mini_imagenet.py",
    "../_base_/schedules/pretrain_mini.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(
    arch="tiny_hybrid",
    num_classes=10,
    drop_path_rate=0.0,
    released_norm=False,
    data_preprocessor=dict(num_classes=10, erase_prob=0.1, mixup_alpha=0.2, cutmix_alpha=0.5),
)
