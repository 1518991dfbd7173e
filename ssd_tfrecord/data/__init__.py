"""Record sets -> batches: the part of training that runs on the host.

In reading order: order (which record comes when), reading and caching (a record by its index, and
footprint, the space that a cache needs), pipeline (the whole chain), framing and cropping
(geometry, drawn from boxes alone), coloring (the random colour parameters), rendering (pixels), and
service, which makes batches on other machines. Imports the hall of records, geometry and pixels.
"""
