# Any network of timm on class labels, by the recipe of Table 11: --cfg-options arch=NAME. The rows
# that STL is compared with were trained by their authors' recipes, which differ.
_base_ = [
    "../_base_/models/timm_classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/pretrain_350e.py",
    "../_base_/pretrain_runtime.py",
]
linked_options = dict(arch=["model.arch"])
