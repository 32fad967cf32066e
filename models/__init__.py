"""Tensors: networks, losses, metrics, test-time augmentation, ensembles and the trainer. No ray, no rasters."""
