# STL (FAN-B-Hybrid) with Cascade Mask R-CNN on COCO, by the paper's recipe.
# Start from pretrained weights with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/models/cascade_mask_rcnn_fan.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x_detection.py",
    "../_base_/detection_runtime.py",
]
model = dict(backbone=dict(arch="base_hybrid"), neck=dict(in_channels=[128, 256, 448, 768]))
