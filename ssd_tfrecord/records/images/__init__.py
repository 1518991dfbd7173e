"""The bytes of an image file -> a checked image.

In reading order: stored_image (what goes into a record), jpeg_header, exif, and formats (anything
that is not a JPEG). Imports the hall and the SourceImage of sources.
"""
