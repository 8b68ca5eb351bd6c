# The row SETR of Table 4, "SETR (DeiT-S)" in Table 13: SETR-PUP on DeiT-S.
# Which of SETR's decoders the row has is not printed, nor its training: decoders, crops and windows
# are those of mmseg's SETR-PUP on Cityscapes, rates and length those of the paper's own rows.
# Start from other weights with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/datasets/cityscapes_768x768.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/default_runtime.py",
    "../_base_/linked_options.py",
]
crop_size = (768, 768)
norm_cfg = dict(type="SyncBN", requires_grad=True)
head = dict(
    type="SETRUPHead",
    in_channels=384,
    channels=256,
    num_classes=19,
    dropout_ratio=0,
    norm_cfg=norm_cfg,
    kernel_size=3,
    align_corners=False,
)
loss = dict(type="CrossEntropyLoss", use_sigmoid=False, avg_non_ignore=True)
auxiliary = dict(num_convs=2, up_scale=4, loss_decode=dict(loss_weight=0.4, **loss), **head)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],  # ImageNet, RGB
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_size,
    ),
    backbone=dict(
        type="stl_backbones.TimmFeatures",
        name="deit_small_patch16_224",
        out_indices=(2, 5, 8, 11),
        img_size=crop_size,
        dynamic_img_size=True,
        drop_path_rate=0.1,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://huggingface.co/timm/deit_small_patch16_224.fb_in1k/resolve/main/model.safetensors",
        ),
    ),
    decode_head=dict(
        in_index=3, num_convs=4, up_scale=2, loss_decode=dict(loss_weight=1.0, **loss), **head
    ),
    auxiliary_head=[dict(in_index=index, **auxiliary) for index in range(3)],
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(512, 512)),
)
heads = dict(lr_mult=10.0)
norms = dict(lr_mult=10.0, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            "_delete_": True,
            "pos_embed": dict(decay_mult=0.0),
            "decode_head": heads,
            "auxiliary_head": heads,
            # Of two names that fit, mmengine takes the longer.
            "decode_head.norm": norms,
            **{f"decode_head.up_convs.{index}.0.bn": norms for index in range(4)},
            **{f"auxiliary_head.{index}.norm": norms for index in range(3)},
            **{
                f"auxiliary_head.{index}.up_convs.{conv}.0.bn": norms
                for index in range(3)
                for conv in range(2)
            },
        }
    )
)
linked_options = dict(
    crop_size=[
        "train_dataloader.dataset.pipeline.4.crop_size",
        "model.data_preprocessor.size",
        "model.test_cfg.crop_size",
        "model.backbone.img_size",
    ]
)
