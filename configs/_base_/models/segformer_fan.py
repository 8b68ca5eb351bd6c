# SegFormer head on a hybrid FAN. Leaves set arch and in_channels.
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],  # ImageNet, RGB
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(1024, 1024),
    ),
    backbone=dict(
        type="stl_backbones.FAN",
        arch="base_hybrid",
        drop_path_rate=0.1,  # SegFormer's recipe, which the paper follows
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    decode_head=dict(
        type="stl_backbones.LinearSegformerHead",  # mmseg's own: type='SegformerHead'
        in_channels=[128, 256, 448, 448],
        in_index=[0, 1, 2, 3],
        channels=768,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(
            type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(1024, 1024), stride=(768, 768)),
)
