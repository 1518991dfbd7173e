"""Pascal VOC's files, behind ``voc``: which XML belongs to which image, and what it says.

In reading order: voc_xml (one file), image_list (an image set), voc_folder (a folder of XML and one
of images), voc_notes (what is unusual). Imports the hall, processes and the files above.
"""
