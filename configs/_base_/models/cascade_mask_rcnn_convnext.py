# Cascade Mask R-CNN on ConvNeXt-T. Larger ones set arch, drop_path_rate and in_channels.
# Training starts from the authors' ImageNet-1K weights under OpenMMLab's names, which are fetched.
_base_ = ["./cascade_mask_rcnn.py"]
model = dict(
    backbone=dict(
        type="stl_backbones.ConvNeXt",
        arch="tiny",
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        with_cp=False,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://download.openmmlab.com/mmclassification/v0/convnext/downstream/"
            "convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth",
            prefix="backbone.",
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
