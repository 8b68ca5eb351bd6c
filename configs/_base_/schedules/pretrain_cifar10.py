# 30 epochs of 180 steps of 250 images: hours on one CPU core.
_base_ = ["./pretrain_350e.py"]
lr = 1e-3
epochs = 30
warmup_epochs = 2
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(enable=False)
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
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
default_hooks = dict(logger=dict(interval=60))
