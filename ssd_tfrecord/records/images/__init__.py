"""The bytes of an image file -> a checked image.

In reading order: stored_image (what goes into a record), limits (what is refused unread), decoding
(bytes -> pixels, for the converters and for detection), baseline (progressive -> baseline, without
loss), jpeg_header, exif, formats (anything that is not a JPEG), and levels (16 bits -> 8).
Imports the hall and the SourceImage of sources.
"""
