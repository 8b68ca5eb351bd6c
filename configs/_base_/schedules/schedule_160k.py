# AdamW 6e-5, head x10, linear warm-up, poly 1.0.
max_iters = 160000
warmup_iters = 1500
val_interval = 16000
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        # Of two names that fit, mmengine takes the longer: the head's norms have no decay either.
        custom_keys={
            "decode_head": dict(lr_mult=10.0),
            "decode_head.fuse.bn": dict(lr_mult=10.0, decay_mult=0.0),
            "decode_head.fusion_conv.bn": dict(lr_mult=10.0, decay_mult=0.0),
            "decode_head.convs.0.bn": dict(lr_mult=10.0, decay_mult=0.0),
            "decode_head.convs.1.bn": dict(lr_mult=10.0, decay_mult=0.0),
            "decode_head.convs.2.bn": dict(lr_mult=10.0, decay_mult=0.0),
            "decode_head.convs.3.bn": dict(lr_mult=10.0, decay_mult=0.0),
        },
    ),
)
# lr belongs to 8 images a step; --auto-scale-lr scales it to another batch.
auto_scale_lr = dict(enable=False, base_batch_size=8)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=warmup_iters),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
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
