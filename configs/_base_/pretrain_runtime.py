# Shared by all pretraining configs: logging, environment, and the variables of --cfg-options.
default_scope = "mmengine"
custom_imports = dict(
    imports=[
        "stl_backbones.pretraining",
        "stl_backbones.datasets.imagenet",
        "stl_backbones.evaluation",
        "stl_backbones.engine",
    ]
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
visualizer = dict(type="Visualizer", vis_backends=vis_backends)
log_processor = dict(by_epoch=True, window_size=10)  # logged losses: means over 10 steps
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
linked_options = dict(
    data_root=[
        "train_dataloader.dataset.data_root",
        "val_dataloader.dataset.data_root",
        "test_dataloader.dataset.data_root",
    ],
    batch_size=["train_dataloader.batch_size"],
    num_workers=[
        "train_dataloader.num_workers",
        "val_dataloader.num_workers",
        "test_dataloader.num_workers",
    ],
    lr=["optim_wrapper.optimizer.lr"],
    epochs=["train_cfg.max_epochs", "param_scheduler.1.end"],  # without a cool-down
    warmup_epochs=["param_scheduler.0.end", "param_scheduler.1.begin"],
    val_interval=["train_cfg.val_interval"],
    accumulate=["optim_wrapper.accumulative_counts"],
    drop_path_rate=["model.drop_path_rate"],
    seed=[
        "randomness.seed",
        "train_dataloader.dataset.seed",
        "model.data_preprocessor.seed",
    ],
    labeler=["model.labeler.checkpoint"],
    init=["load_from"],
)
