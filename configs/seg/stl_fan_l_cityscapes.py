# STL (FAN-L-Hybrid) with the SegFormer head on Cityscapes, by the paper's recipe.
# Start from pretrained weights with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/models/segformer_fan.py",
    "../_base_/datasets/cityscapes.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/default_runtime.py",
    "../_base_/linked_options.py",
]
model = dict(backbone=dict(arch="large_hybrid"), decode_head=dict(in_channels=[128, 256, 480, 480]))
