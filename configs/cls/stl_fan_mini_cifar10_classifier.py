# FAN-mini-ViT on CIFAR-10 and class labels alone.
_base_ = [
    "../_base_/models/stl_classifier.py",
    "../_base_/datasets/cifar10.py",
    "../_base_/schedules/pretrain_cifar10.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(
    arch="mini_vit",
    num_classes=10,
    drop_path_rate=0.0,
    released_norm=False,
    data_preprocessor=dict(num_classes=10, erase_prob=0.1, mixup_alpha=0.2, cutmix_alpha=0.5),
)
