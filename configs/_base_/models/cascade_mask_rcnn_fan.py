# Cascade Mask R-CNN on a hybrid FAN. Leaves set arch and in_channels.
_base_ = ["./cascade_mask_rcnn.py"]
model = dict(
    backbone=dict(
        type="stl_backbones.FANDetection",
        arch="base_hybrid",
        drop_path_rate=0.3,
        with_cp=True,
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    neck=dict(in_channels=[128, 256, 448, 768]),
)
