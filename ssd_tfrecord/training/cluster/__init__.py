"""Several workers that train one model: one leads, and the others do as they are told.

The leader is a trainer like any other; alone, it has a crew of none. In reading order: orders (what
is said on the link), crew (the others, as the leader sees them), follower (all that any other
worker does), host_share (what it finds in an evaluation), synchrony (equal weights on all). orders
and crew are free of TensorFlow. Imports what training imports, and of training nearly all but the
session.
"""
