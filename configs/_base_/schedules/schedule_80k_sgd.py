# DeepLab's: SGD, poly 0.9; rate, length and batch are those of mmseg's Cityscapes configs.
max_iters = 80000
warmup_iters = 500
val_interval = 8000
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005),
)
# lr belongs to 8 images a step; --auto-scale-lr scales it to another batch.
auto_scale_lr = dict(enable=False, base_batch_size=8)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warmup_iters),
    dict(type="PolyLR", power=0.9, eta_min=1e-4, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=val_interval)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=val_interval, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
