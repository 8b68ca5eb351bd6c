# The student's view and the labeler's clean one, which shares its geometry.
_base_ = ["./imagenet.py"]
labeler_view = ["spatial"]
train_pipeline = [
    dict(type="stl_backbones.TwoViews", labeler_view=labeler_view),
    dict(type="stl_backbones.RandomResizedCropViews", size=224),
    dict(type="stl_backbones.RandomFlipViews"),
    dict(type="stl_backbones.RandAugmentViews", policy="rand-m9-mstd0.5-inc1"),
    dict(type="stl_backbones.PackViews"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
