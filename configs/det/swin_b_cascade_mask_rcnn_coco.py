# Swin-B with Cascade Mask R-CNN on COCO: the row of Table 5, by Swin's recipe.
_base_ = [
    "../_base_/models/cascade_mask_rcnn_swin.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x_swin.py",
    "../_base_/detection_runtime.py",
]
model = dict(
    backbone=dict(
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
            "swin_base_patch4_window7_224.pth",
        ),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
