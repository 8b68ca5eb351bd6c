# ImageNet as RandomResizedCrop, flip and RandAugment see it, in one view and in two.
data_root = "data/imagenet"
image_size = 224
train_pipeline = [
    dict(type="stl_backbones.RandomResizedCropViews", size=image_size),
    dict(type="stl_backbones.RandomFlipViews"),
    dict(type="stl_backbones.RandAugmentViews", policy="rand-m9-mstd0.5-inc1"),
    dict(type="stl_backbones.PackViews"),
]
test_pipeline = [
    dict(type="stl_backbones.CenterCropViews", size=image_size, crop_ratio=1.0),
    dict(type="stl_backbones.PackViews"),
]
train_dataloader = dict(
    batch_size=128,  # of one process
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="stl_backbones.EpochSampler"),
    dataset=dict(
        type="stl_backbones.ImageNetFolder",
        data_root=data_root,
        split="train",
        num_classes=1000,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    persistent_workers=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="stl_backbones.ImageNetFolder",
        data_root=data_root,
        split="val",
        num_classes=1000,
        max_broken=0,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=128,
    persistent_workers=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="stl_backbones.ImageNetFolder",
        data_root=data_root,
        split="val",
        num_classes=1000,
        max_broken=0,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type="stl_backbones.TopKAccuracy")
test_evaluator = dict(type="stl_backbones.TopKAccuracy")
