"""How a step changes the weights.

In reading order: optimizers, schedules (their learning rate), freezing (what is not changed),
averages (of the weights, over the steps).
"""
