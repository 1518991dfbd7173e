"""From shards to batches: order, framing, rendering."""
