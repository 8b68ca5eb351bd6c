# The row FCN8s of Table 4: FCN-8s with skips on VGG-16.
# Start from other weights with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/models/fcn8s_vgg16.py",
    "../_base_/datasets/cityscapes_768x768.py",
    "../_base_/schedules/schedule_80k_sgd.py",
    "../_base_/default_runtime.py",
    "../_base_/linked_options.py",
]
# VGG-16 has no BatchNorm: a tenth of the rate of the other CNNs, but for the new layers.
optim_wrapper = dict(
    optimizer=dict(lr=0.001), paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=10.0)))
)
