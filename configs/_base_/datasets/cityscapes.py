# Cityscapes, crops of 1024x1024 from images resized by 0.5 to 2.
data_root = "data/cityscapes"
dataset_type = "stl_backbones.CheckedCityscapesDataset"
img_scale = (2048, 1024)
crop_size = (1024, 1024)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="stl_backbones.CheckSegMap"),
    dict(type="RandomResize", scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=img_scale, keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="stl_backbones.CheckSegMap"),
    dict(type="PackSegInputs"),
]
# --tta: mmseg's six sizes and the mirror image; the twelve softmaxes are averaged.
tta_model = dict(type="SegTTAModel")
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale_factor=factor, keep_ratio=True)
                for factor in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [
                dict(type="RandomFlip", prob=0.0, direction="horizontal"),
                dict(type="RandomFlip", prob=1.0, direction="horizontal"),
            ],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(
    batch_size=8,  # the paper's, over all processes: divide it by their number
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        num_classes=19,
        label_ids=None,  # "cityscapes": labelIds, as downloaded, are read as trainIds
        img_suffix="_leftImg8bit.png",
        seg_map_suffix=None,  # by label_ids: "_gtFine_labelTrainIds.png"
        data_root=data_root,
        data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        num_classes=19,
        label_ids=None,  # "cityscapes": labelIds, as downloaded, are read as trainIds
        img_suffix="_leftImg8bit.png",
        seg_map_suffix=None,  # by label_ids: "_gtFine_labelTrainIds.png"
        data_root=data_root,
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        num_classes=19,
        label_ids=None,  # "cityscapes": labelIds, as downloaded, are read as trainIds
        img_suffix="_leftImg8bit.png",
        seg_map_suffix=None,  # by label_ids: "_gtFine_labelTrainIds.png"
        data_root=data_root,
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type="stl_backbones.ConfusionMatrixMetric")
test_evaluator = dict(type="stl_backbones.ConfusionMatrixMetric")
