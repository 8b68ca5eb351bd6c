# Cascade Mask R-CNN on mmdet's Swin-T. Larger ones set depths, embed_dims, num_heads, in_channels.
# Training starts from the authors' ImageNet-1K weights, which are fetched.
_base_ = ["./cascade_mask_rcnn.py"]
model = dict(
    backbone=dict(
        type="stl_backbones.SwinTransformer",
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.2,
        with_cp=False,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
            "swin_tiny_patch4_window7_224.pth",
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
