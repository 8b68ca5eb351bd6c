# `--cfg-options NAME=VALUE` of a variable named here changes it everywhere it is used.
linked_options = dict(
    data_root=[
        "train_dataloader.dataset.data_root",
        "val_dataloader.dataset.data_root",
        "test_dataloader.dataset.data_root",
    ],
    label_ids=[
        "train_dataloader.dataset.label_ids",
        "val_dataloader.dataset.label_ids",
        "test_dataloader.dataset.label_ids",
    ],
    img_suffix=[
        "train_dataloader.dataset.img_suffix",
        "val_dataloader.dataset.img_suffix",
        "test_dataloader.dataset.img_suffix",
    ],
    seg_map_suffix=[
        "train_dataloader.dataset.seg_map_suffix",
        "val_dataloader.dataset.seg_map_suffix",
        "test_dataloader.dataset.seg_map_suffix",
    ],
    crop_size=[
        "train_dataloader.dataset.pipeline.4.crop_size",
        "model.data_preprocessor.size",
        "model.test_cfg.crop_size",
    ],
    stride=["model.test_cfg.stride"],
    img_scale=[
        "train_dataloader.dataset.pipeline.3.scale",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
    max_iters=["train_cfg.max_iters", "param_scheduler.1.end"],
    warmup_iters=["param_scheduler.0.end", "param_scheduler.1.begin"],
    val_interval=["train_cfg.val_interval", "default_hooks.checkpoint.interval"],
    batch_size=["train_dataloader.batch_size"],
    num_workers=[
        "train_dataloader.num_workers",
        "val_dataloader.num_workers",
        "test_dataloader.num_workers",
    ],
    lr=["optim_wrapper.optimizer.lr"],
    pretrained=["model.backbone.init_cfg.checkpoint"],
)
