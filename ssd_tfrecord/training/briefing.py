"""What a run prints before its first step: its data, how they are read, and what does not pay."""

from collections.abc import Callable, Collection

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.footprint import check_cache
from ssd_tfrecord.data.order import buffered_records
from ssd_tfrecord.devices import processor
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records.manifest import Manifest


def data_table(train: tuple[Manifest, ...], evaluation: Manifest | None) -> str:
    """A table of the images and objects in each record set, in total and per class.

    Args:
        train: the training sets, whose class lists agree.
        evaluation: the evaluation set, if any.
    """
    sets = [*train, *([evaluation] if evaluation else [])]
    kinds = ["train"] * len(train) + ["eval"] * (len(sets) - len(train))
    rows = [("Data", *(f"{kind}: {item.name}" for kind, item in zip(kinds, sets)))]
    counters: tuple[tuple[str, Callable[[Manifest], int]], ...] = (
        ("images", lambda item: item.num_records),
        ("objects", lambda item: item.num_objects),
        ("difficult", lambda item: item.num_difficult),
        ("crowd", lambda item: item.num_crowd),
    )
    for title, count in counters:
        rows.append((f"  {title}", *(f"{count(item):,}" for item in sets)))
    for name in sets[0].class_names:
        counts = [item.per_class.get(name, {}).get("objects", 0) for item in sets]
        rows.append((f"    {name}", *(f"{count:,}" for count in counts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:]))
        for row in rows
    )


def slow_choices(config: TrainConfig, *, on_gpus: bool, units: Collection[str]) -> list[str]:
    """A line about each option that makes a step slower on these devices, not faster.

    Args:
        config: of the run.
        on_gpus: whether GPUs compute.
        units: the vector units of the CPU, as of ``devices.processor``.
    """
    if on_gpus:
        return []
    lines, backbone = [], config.model.backbone
    # The separable ones are built of depthwise convolutions, which XLA compiles badly for a CPU.
    if config.xla and BACKBONES[backbone].head == "separable":
        lines.append(
            f"warning: --xla with --backbone={backbone} is slow on a CPU: a step of mobilenet_v2 "
            "takes 12 times as long, the first one two minutes more; omit it"
        )
    precision = config.devices.precision
    if precision == "mixed_bfloat16" and not processor.multiplies_bfloat16(units):
        lines.append(
            f"warning: --precision={precision} is slow on a CPU without AVX512-BF16 or AMX, which "
            "converts to float32 and back; use float32"
        )
    return lines


def reading_lines(train: tuple[Manifest, ...], options: ReadOptions) -> str:
    """How the records are read and shuffled, and the memory that a buffer or cache needs.

    Args:
        train: the training sets.
        options: how they are read.

    Raises:
        InputError: a cache would exceed its limit.
    """
    lines = [_shuffle_line(train, options), check_cache(train, options)]
    if options.data_service:
        lines.append(
            f"Data service: batches come from {options.data_service} in the order of its workers; "
            "a resumed run is not exactly reproducible"
        )
    return "\n".join(line for line in lines if line)


def _shuffle_line(train: tuple[Manifest, ...], options: ReadOptions) -> str:
    num_records = sum(item.num_records for item in train)
    if not options.shuffle_buffer_mb:
        return f"Shuffling: all {num_records:,} records in a new order each epoch"
    num_bytes = sum(shard.bytes for item in train for shard in item.shards)
    buffered = buffered_records(train, options)
    megabytes = num_bytes * buffered / max(1, num_records) / 1e6
    return f"Shuffling: a buffer of {buffered:,} of {num_records:,} records, {megabytes:,.0f} MB"
