# ResNet-50 with Cascade Mask R-CNN on COCO: the row of Table 5, by Swin's recipe.
_base_ = [
    "../_base_/models/cascade_mask_rcnn_resnet.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x_detection.py",
    "../_base_/detection_runtime.py",
]
