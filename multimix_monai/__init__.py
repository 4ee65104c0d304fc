"""MultiMix for MONAI: pneumonia classification and lung segmentation from few annotations."""

__version__ = "0.1.0"
