"""An evaluation as people read it: charts, pictures, tables and HTML pages.

In reading order: report (all files of a set), number_files (CSV and JSON), charts (PNG), gallery
(images and suspects, drawn by marked_pictures), doubt_list (suspects.csv), verdict (what costs
most, in words), pages/ (report.html), comparison_page (two evaluations), class_rows (the numbers
of each class), outside_text (names from strangers made harmless), picture_bytes. May import what
evaluation may.
"""
