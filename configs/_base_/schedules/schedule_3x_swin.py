# Swin's recipe for detection: as schedule_3x_detection.py, and no decay on the position tables.
_base_ = ["./schedule_3x_detection.py"]
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={"relative_position_bias_table": dict(decay_mult=0.0)})
)
