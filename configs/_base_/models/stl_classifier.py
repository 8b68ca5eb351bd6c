# Class labels alone: the FAN that STL is compared with. Leaves set arch and drop_path_rate.
model = dict(
    type="stl_backbones.STLClassifier",
    arch="base_hybrid",
    num_classes=1000,
    drop_path_rate=0.35,
    data_preprocessor=dict(
        type="stl_backbones.STLPreprocessor",
        num_classes=1000,
        erase_prob=0.3,
        mixup_alpha=0.8,
        cutmix_alpha=1.0,
        switch_prob=0.5,
        label_smoothing=0.1,
        non_blocking=True,
    ),
)
