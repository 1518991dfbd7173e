"""How a step changes the weights.

In reading order: optimizers, schedules (their learning rate).
"""
