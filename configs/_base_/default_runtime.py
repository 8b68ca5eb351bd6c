# Shared by every config: logging, hooks, environment.
default_scope = "mmseg"
custom_imports = dict(
    imports=[
        "stl_backbones.transfer",
        "stl_backbones.datasets.cityscapes",
        "stl_backbones.datasets.transforms",
        "stl_backbones.evaluation",
        "stl_backbones.engine",
    ]
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="SegLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(by_epoch=False)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
