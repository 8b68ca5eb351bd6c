# Table 11: AdamW, 350 epochs of cosine after a linear warm-up from 1e-6, then 10 at the least rate.
lr = 2e-3
warmup_epochs = 5
optim_wrapper = dict(
    type="OptimWrapper",  # --amp: mixed precision
    constructor="stl_backbones.NoDecayConstructor",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    accumulative_counts=1,
)
# lr belongs to this batch: processes x batch_size x accumulative_counts; another one scales it.
auto_scale_lr = dict(enable=True, base_batch_size=1024)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6 / lr,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=1e-6,
        begin=warmup_epochs,
        end=350,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=360, val_interval=5)
val_cfg = dict(type="stl_backbones.RawAndEMAValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        interval=1,
        max_keep_ckpts=2,
        save_best="ema/cls_top1",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="stl_backbones.ReproducibleSteps"),
    dict(type="stl_backbones.StopOnBadLoss"),
    dict(type="stl_backbones.EMAWeightsHook", decay=0.99992),
    dict(type="stl_backbones.ModelCardHook"),
]
