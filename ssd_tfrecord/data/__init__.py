"""Record sets -> batches: the part of training that runs on the host.

In reading order: host and order (which record comes when, and on which machine), reading and
caching (a record by its index; cache_folder shares a cache among jobs, footprint and free_memory
are its space), pipeline (the whole chain), framing and cropping (geometry, drawn from boxes alone),
coloring (the random colour parameters), rendering (pixels), whole_images (for evaluation), passes
(a set that is gone through again and again), and service, which makes batches on other machines.
Imports the hall of records and its processes (for a lock), geometry and pixels.
"""
