# Stage 2: the student, Eq. 5. The labeler's file comes from --cfg-options labeler=FILE.
_base_ = ["./stl_classifier.py"]
model = dict(
    type="stl_backbones.STLStudent",
    labeler=dict(checkpoint=None, timm_name=None),  # timm_name: it is this timm model
    token_labels="gumbel",
    tau=1.0,
    smoothing=0.1,
    beta=1.0,
    data_preprocessor=dict(labeler_view=["spatial"]),
)
