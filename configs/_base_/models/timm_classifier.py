# A network of timm on class labels. `arch` is timm's name of it.
_base_ = ["./stl_classifier.py"]
model = dict(type="stl_backbones.TimmClassifier", arch="resnet50", drop_path_rate=0.1)
