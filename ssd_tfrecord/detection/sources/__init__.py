"""Where the images of the command come from.

In reading order: source_list (from --images to files, videos and cameras), frame_readers (from
these to images in order), video_reader (OpenCV's, an extra). Imports what detection may.
"""
