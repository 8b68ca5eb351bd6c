# DeepLabv3+ on an aligned Xception of timm at output stride 16. Leaves set the backbone.
# SyncBN where several processes train.
sync_bn = "torch"
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[127.5, 127.5, 127.5],  # as TensorFlow's Xceptions see images
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(768, 768),
    ),
    backbone=dict(
        type="stl_backbones.TimmFeatures",
        name="xception65",
        out_indices=(1, 4),  # strides 4 and 16
        output_stride=16,
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    decode_head=dict(
        type="DepthwiseSeparableASPPHead",
        in_channels=2048,
        in_index=1,
        channels=256,
        dilations=(1, 6, 12, 18),
        c1_in_channels=256,
        c1_channels=48,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(
            type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
