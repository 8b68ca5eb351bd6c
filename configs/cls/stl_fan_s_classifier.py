# FAN-S-Hybrid on class labels alone, by the recipe of Table 11: what STL is compared with.
_base_ = [
    "../_base_/models/stl_classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/pretrain_350e.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(arch="small_hybrid", drop_path_rate=0.25)
