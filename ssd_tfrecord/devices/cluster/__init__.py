"""Which processes train together, and how they talk to each other. Free of TensorFlow.

In reading order: worker_group (who), cluster_resolver (asks tf_config, slurm with host_list, and
kubernetes, each with variables), messages, connection, link, link_leader with greeting and
roll_call, link_follower. Imports options.
"""
