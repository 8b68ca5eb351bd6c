# FCN-8s with skips on VGG-16.
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],  # ImageNet, RGB
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(768, 768),
    ),
    backbone=dict(
        type="stl_backbones.FCN8sVGG16",
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/model.safetensors",
        ),
    ),
    decode_head=dict(
        type="stl_backbones.FCN8sHead",
        in_channels=(256, 512, 4096),
        in_index=(0, 1, 2),
        dropout_ratio=0,  # the backbone's fc6 and fc7 have it
        num_classes=19,
        align_corners=False,
        loss_decode=dict(
            type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
