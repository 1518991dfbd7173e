"""A data set of drawn scenes in Pascal VOC's layout, to try everything out in minutes.

In reading order: session, dataset (the folder), scenes (what is where), objects and backgrounds.
"""
