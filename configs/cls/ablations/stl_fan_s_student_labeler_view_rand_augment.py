# Table 6: the labeler's view shares RandAugment and erasing.
_base_ = ["../stl_fan_s_student.py"]
labeler_view = ["spatial", "rand_augment", "random_erasing"]
model = dict(data_preprocessor=dict(labeler_view=labeler_view))
train_pipeline = [
    dict(type="stl_backbones.TwoViews", labeler_view=labeler_view),
    dict(type="stl_backbones.RandomResizedCropViews", size=224),
    dict(type="stl_backbones.RandomFlipViews"),
    dict(type="stl_backbones.RandAugmentViews", policy="rand-m9-mstd0.5-inc1"),
    dict(type="stl_backbones.PackViews"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
