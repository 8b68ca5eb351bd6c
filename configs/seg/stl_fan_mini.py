# A FAN of 0.95 million parameters with the SegFormer head on the generated street scenes: the demo.
_base_ = ["./stl_fan_t_mini.py"]
model = dict(
    backbone=dict(arch="mini_hybrid"),
    decode_head=dict(in_channels=[48, 96, 96, 96], channels=64),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
