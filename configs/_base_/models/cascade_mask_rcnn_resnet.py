# Cascade Mask R-CNN on mmdet's ResNet-50, its norms frozen. ResNeXts set type, depth and groups.
# Training starts from torchvision's ImageNet-1K weights, which are fetched.
_base_ = ["./cascade_mask_rcnn.py"]
model = dict(
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        style="pytorch",
        with_cp=False,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
