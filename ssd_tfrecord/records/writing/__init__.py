"""A SourceSet -> a record set, whatever interrupts it.

In reading order: session (the converters), convert (the whole way), ceilings (how much may be
dropped), box_repair (source boxes -> record boxes), shards (what is written where), shard_writer,
shard_workers and beam (who writes), journal and fingerprint (what is finished, and of what); parts,
source_parts and division (several record sets at once: the splits that are there, or made at
random). Imports
the other rooms of records.
"""
