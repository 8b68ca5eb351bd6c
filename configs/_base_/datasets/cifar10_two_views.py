# CIFAR-10 in the student's view and the labeler's clean one.
_base_ = ["./cifar10.py"]
train_pipeline = [
    dict(type="stl_backbones.TwoViews"),
    dict(type="stl_backbones.RandomResizedCropViews", size=32, scale=(0.5, 1.0)),
    dict(type="stl_backbones.RandomFlipViews"),
    dict(type="stl_backbones.RandAugmentViews", policy="rand-m5-n1-mstd0.5-inc1"),
    dict(type="stl_backbones.PackViews"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
