# Table 11's base and large columns: twice the batch and rate, 10 epochs of warm-up.
_base_ = ["./pretrain_350e.py"]
lr = 4e-3
warmup_epochs = 10
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=2048)
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
