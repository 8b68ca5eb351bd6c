# Shared by all detection configs: logging, environment, and the variables of --cfg-options.
default_scope = "mmdet"
custom_imports = dict(
    imports=[
        "stl_backbones.transfer",
        "stl_backbones.transfer.coco_metric",
        "stl_backbones.datasets.coco",
        "stl_backbones.datasets.transforms",
        "stl_backbones.engine",
    ]
)
env_cfg = dict(
    cudnn_benchmark=False,  # image sizes vary
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="DetLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
linked_options = dict(
    data_root=[
        "train_dataloader.dataset.data_root",
        "val_dataloader.dataset.data_root",
        "test_dataloader.dataset.data_root",
        "val_evaluator.data_root",
        "test_evaluator.data_root",
    ],
    train_ann=["train_dataloader.dataset.ann_file"],
    val_ann=[
        "val_dataloader.dataset.ann_file",
        "test_dataloader.dataset.ann_file",
        "val_evaluator.ann_file",
        "test_evaluator.ann_file",
    ],
    img_scale=[
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
    max_epochs=["train_cfg.max_epochs", "param_scheduler.1.end"],
    milestones=["param_scheduler.1.milestones"],
    warmup_iters=["param_scheduler.0.end"],
    val_interval=["train_cfg.val_interval", "default_hooks.checkpoint.interval"],
    batch_size=["train_dataloader.batch_size"],
    num_workers=[
        "train_dataloader.num_workers",
        "val_dataloader.num_workers",
        "test_dataloader.num_workers",
    ],
    lr=["optim_wrapper.optimizer.lr"],
    drop_path_rate=["model.backbone.drop_path_rate"],
    with_cp=["model.backbone.with_cp"],
    pretrained=["model.backbone.init_cfg.checkpoint"],
)
