# The row SWIN-T of Table 4: Swin-T with the SegFormer head, trained as the FANs are.
# Which decoder the row has is not printed; this is the one that the paper's own rows have.
# Start from other weights with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/models/segformer_fan.py",
    "../_base_/datasets/cityscapes.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/default_runtime.py",
    "../_base_/linked_options.py",
]
model = dict(
    backbone=dict(
        _delete_=True,
        type="stl_backbones.SwinTransformer",
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.3,  # mmseg's, for Swin-T on ADE20K
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://huggingface.co/timm/swin_tiny_patch4_window7_224.ms_in1k/resolve/main/model.safetensors",
        ),
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0)))
)
