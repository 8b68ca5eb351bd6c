# FAN-T-Hybrid with Cascade Mask R-CNN on the generated street scenes: minutes on two CPU cores.
# tools/make_mini_data.py data/mini writes the data.
_base_ = ["./stl_fan_t_cascade_mask_rcnn_coco.py"]
data_root = "data/mini/coco"
classes = ("person", "bicycle", "car", "motorcycle", "bus", "train", "truck", "traffic light")
num_classes = 8
img_scale = (256, 128)
max_epochs = 20
milestones = [15, 18]
warmup_iters = 100
val_interval = 4
width = 48  # of the pyramid and the heads
# Half the things are smaller than 14 pixels: anchors, and the RoIs of each map, are a quarter of
# COCO's.
anchor_scales = [2]
finest_scale = 14
norm_cfg = dict(type="BN", requires_grad=True)
target_stds = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
pos_ious = [0.5, 0.6, 0.7]
model = dict(
    backbone=dict(drop_path_rate=0.0, released_norm=False, with_cp=False),
    neck=dict(out_channels=width, norm_cfg=norm_cfg),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=anchor_scales),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width, finest_scale=finest_scale),
        bbox_head=[
            dict(
                type="stl_backbones.Float32BBoxHead",
                num_shared_convs=4,
                num_shared_fcs=1,
                in_channels=width,
                conv_out_channels=width,
                fc_out_channels=256,
                roi_feat_size=7,
                num_classes=num_classes,
                bbox_coder=dict(
                    type="DeltaXYWHBBoxCoder",
                    target_means=[0.0, 0.0, 0.0, 0.0],
                    target_stds=stds,
                ),
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                norm_cfg=norm_cfg,
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type="GIoULoss", loss_weight=10.0),
            )
            for stds in target_stds
        ],
        mask_roi_extractor=dict(out_channels=width, finest_scale=finest_scale),
        mask_head=dict(
            in_channels=width, conv_out_channels=width, num_classes=num_classes, norm_cfg=norm_cfg
        ),
    ),
    train_cfg=dict(
        # Fewer and easier anchors: half of the sampled ones are things.
        rpn=dict(assigner=dict(pos_iou_thr=0.5), sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=300, max_per_img=200),
        rcnn=[
            dict(
                assigner=dict(
                    type="MaxIoUAssigner",
                    pos_iou_thr=iou,
                    neg_iou_thr=iou,
                    min_pos_iou=iou,
                    match_low_quality=False,
                    ignore_iof_thr=-1,
                ),
                sampler=dict(
                    type="RandomSampler",
                    num=64,
                    pos_fraction=0.25,
                    neg_pos_ub=-1,
                    add_gt_as_proposals=True,
                ),
                mask_size=28,
                pos_weight=-1,
                debug=False,
            )
            for iou in pos_ious
        ],
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=200)),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomResize", scale=img_scale, ratio_range=(1.0, 1.5), keep_ratio=True),
    # One size without padding: where all pixels are alike the norms' gradients explode.
    dict(type="RandomCrop", crop_size=img_scale, allow_negative_crop=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=img_scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
dataset = dict(data_root=data_root, classes=classes, num_classes=num_classes)
train_dataloader = dict(
    batch_size=2, num_workers=1, dataset=dict(**dataset, pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=1, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(**dataset, pipeline=test_pipeline))
val_evaluator = dict(data_root=data_root)
test_evaluator = dict(data_root=data_root)
# From scratch in minutes: a far higher rate than for fine-tuning.
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type="MultiStepLR", by_epoch=True, begin=0, end=max_epochs, milestones=milestones, gamma=0.1
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=val_interval)
linked_options = dict(
    img_scale=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.3.crop_size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=val_interval))
