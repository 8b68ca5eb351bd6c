# 40 epochs of 10 steps, from scratch in minutes.
_base_ = ["./pretrain_350e.py"]
lr = 5e-4
epochs = 40
warmup_epochs = 4
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
train_cfg = dict(max_epochs=epochs, val_interval=10)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
