# ConvNeXt's recipe for detection: AdamW 2e-4, smaller by decay_rate from layer to layer towards the
# image. Leaves set decay_rate and num_layers.
_base_ = ["./schedule_3x_detection.py"]
optim_wrapper = dict(
    constructor="LearningRateDecayOptimizerConstructor",
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(_delete_=True, decay_type="layer_wise", decay_rate=0.7, num_layers=6),
)
