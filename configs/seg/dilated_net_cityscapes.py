# The row DilatedNet of Table 4: Dilation10, a dilated VGG-16 and the basic context module.
# Its paper trains front end, context module and both in turn; here both are trained at once, since
# a fresh context module hands the front end's scores on.
# Start from other weights with --cfg-options pretrained=FILE.
_base_ = [
    "../_base_/models/fcn8s_vgg16.py",
    "../_base_/datasets/cityscapes_768x768.py",
    "../_base_/schedules/schedule_80k_sgd.py",
    "../_base_/default_runtime.py",
    "../_base_/linked_options.py",
]
model = dict(
    backbone=dict(type="stl_backbones.DilatedNetVGG16"),
    decode_head=dict(type="stl_backbones.DilatedContextHead", in_channels=4096, in_index=0),
)
# The front end's rate in its paper.
optim_wrapper = dict(optimizer=dict(lr=0.001))
