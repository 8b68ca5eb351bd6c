# The row ResNet38 of Table 4: Wide ResNet-38, model A, with two convolutions behind it.
# Its ImageNet weights are in MXNet's format only, which is not read here: start from a file of our
# names with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/datasets/cityscapes_768x768.py",
    "../_base_/schedules/schedule_80k_sgd.py",
    "../_base_/default_runtime.py",
    "../_base_/linked_options.py",
]
sync_bn = "torch"  # where several processes train
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
        type="stl_backbones.WideResNet38",
        output_stride=8,
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    decode_head=dict(
        type="FCNHead",
        in_channels=4096,
        in_index=0,
        channels=512,
        num_convs=1,
        kernel_size=3,
        dilation=12,
        concat_input=False,
        dropout_ratio=0,
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
