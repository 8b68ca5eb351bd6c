# The row DeepLabv3+ (X71) of Table 4.
# Start from other weights with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/models/deeplabv3plus_xception.py",
    "../_base_/datasets/cityscapes_768x768.py",
    "../_base_/schedules/schedule_80k_sgd.py",
    "../_base_/default_runtime.py",
    "../_base_/linked_options.py",
]
model = dict(
    backbone=dict(
        name="xception71",
        init_cfg=dict(
            checkpoint="https://huggingface.co/timm/xception71.tf_in1k/resolve/main/model.safetensors"
        ),
    )
)
