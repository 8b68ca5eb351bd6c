# The row ConvNeXt-T of Table 4: ConvNeXt-T with the SegFormer head, trained as the FANs are.
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
        type="stl_backbones.TimmFeatures",
        name="convnext_tiny",
        out_indices=(0, 1, 2, 3),
        out_norms=True,
        drop_path_rate=0.4,  # mmseg's, for ConvNeXt-T on ADE20K
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://huggingface.co/timm/convnext_tiny.fb_in1k/resolve/main/model.safetensors",
        ),
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(gamma=dict(decay_mult=0.0))))
