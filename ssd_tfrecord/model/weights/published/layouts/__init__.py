"""The layouts of published networks: how files name and order what our layers hold.

In reading order: layer_sources (where an array lies and how it becomes ours), vgg16_layers (shapes
of SSD on VGG-16), a file for each layout, class_lists. Free of TensorFlow.
"""
