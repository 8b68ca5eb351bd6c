# ConvNeXt-B with Cascade Mask R-CNN on COCO: the row of Table 5, by ConvNeXt's recipe.
_base_ = [
    "../_base_/models/cascade_mask_rcnn_convnext.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x_convnext.py",
    "../_base_/detection_runtime.py",
]
model = dict(
    backbone=dict(
        arch="base",
        drop_path_rate=0.7,
        init_cfg=dict(
            checkpoint="https://download.openmmlab.com/mmclassification/v0/convnext/downstream/"
            "convnext-base_3rdparty_32xb128-noema_in1k_20220301-2a0ee547.pth",
        ),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.8, num_layers=12))
