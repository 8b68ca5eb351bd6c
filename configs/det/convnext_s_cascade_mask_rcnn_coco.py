# ConvNeXt-S with Cascade Mask R-CNN on COCO: the row of Table 5, by ConvNeXt's recipe.
_base_ = [
    "../_base_/models/cascade_mask_rcnn_convnext.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x_convnext.py",
    "../_base_/detection_runtime.py",
]
model = dict(
    backbone=dict(
        arch="small",
        drop_path_rate=0.6,
        init_cfg=dict(
            checkpoint="https://download.openmmlab.com/mmclassification/v0/convnext/downstream/"
            "convnext-small_3rdparty_32xb128-noema_in1k_20220301-303e75e3.pth",
        ),
    )
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=12))
