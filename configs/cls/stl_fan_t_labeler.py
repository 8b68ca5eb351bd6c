# Stage 1 of STL: the token labeler FAN-TL-T-Hybrid on ImageNet, by Table 11 (1024 images a step).
_base_ = [
    "../_base_/models/stl_labeler.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/pretrain_350e.py",
    "../_base_/pretrain_runtime.py",
]
model = dict(arch="tiny_hybrid", drop_path_rate=0.05)
