"""The suffixes by which image files are found, by the converters and by detection alike.

They only find a file. What it is, its content says: see ``images``.
"""

# In lower case, the most usual one first: of two images of one name, that decides which is taken.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm"),
)
