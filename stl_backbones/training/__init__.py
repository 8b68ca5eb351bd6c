"""Train and pretrain through mmengine's runner."""
