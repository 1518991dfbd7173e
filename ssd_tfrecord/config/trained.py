"""The help texts of flags that name a trained model."""

RUN_TEXT = "run folder of the model, the --run_dir of its training (required)"
CHECKPOINT_TEXT = (
    "which weights to use: best (by --best_metric of the training; the last if there is no best), "
    "last, or the path of a checkpoint, …/checkpoints/ckpt-N"
)
