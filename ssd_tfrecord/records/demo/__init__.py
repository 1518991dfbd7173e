"""The demo data set: drawn scenes in Pascal VOC's layout, learnable in minutes."""
