"""What fits into memory, by trial: synthetic_batch, peak_memory, trial_steps, batch_trial, in turn.

Imports what training imports, and of training the learner, the runner and stopping/failures.
"""
