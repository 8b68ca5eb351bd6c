# CIFAR-10 as files <data_root>/{train,val}/<class>/*, as benchmarks/stl_small.py writes them.
_base_ = ["./imagenet.py"]
image_size = 32
train_pipeline = [
    dict(type="stl_backbones.RandomResizedCropViews", size=image_size, scale=(0.5, 1.0)),
    dict(type="stl_backbones.RandomFlipViews"),
    dict(type="stl_backbones.RandAugmentViews", policy="rand-m5-n1-mstd0.5-inc1"),
    dict(type="stl_backbones.PackViews"),
]
test_pipeline = [
    dict(type="stl_backbones.CenterCropViews", size=image_size),
    dict(type="stl_backbones.PackViews"),
]
dataset = dict(data_root="data/cifar10", num_classes=10)
train_dataloader = dict(
    batch_size=250, num_workers=1, dataset=dict(**dataset, pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=500, num_workers=1, dataset=dict(**dataset, pipeline=test_pipeline)
)
test_dataloader = dict(
    batch_size=500, num_workers=1, dataset=dict(**dataset, pipeline=test_pipeline)
)
