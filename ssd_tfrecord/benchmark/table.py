"""A benchmark's figures as text: one row for each thing measured, and one for each part of it."""

from collections.abc import Mapping
from typing import Any


def text(report: Mapping[str, Any]) -> str:
    """The lines of ``report``: the machine, the sections that it has, and what limits the run."""
    machine = report["machine"]
    devices = [machine["processor"], f"{machine['cores']} cores", *machine["gpus"]]
    # Reports of earlier versions lack them.
    if "onednn" in machine:
        devices.insert(1, f"{machine['vector_units']} (oneDNN {machine['onednn']})")
    lines = [
        f"{', '.join(devices)}, TensorFlow {machine['tensorflow']}, "
        f"load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after; "
        "± is half the interquartile range over the rounds"
    ]
    if "convert" in report:
        lines += _convert_lines(report["convert"])
    if "input" in report:
        lines += _input_lines(report["input"], report["records"])
    lines += [f"matching {name:34}{value:9.3f}" for name, value in report.get("match", {}).items()]
    if "scaling" in report:
        lines += _replica_lines(report["scaling"])
    if "evaluation" in report:
        lines += _evaluation_lines(report["evaluation"])
    for section, title in (("model", "model alone"), ("end_to_end", "end to end")):
        if section in report:
            wait = report[section]["data_wait"]
            lines.append(f"{_row(title, report[section])}   waited for data {wait:.1%} of the time")
            lines += _step_lines(report[section])
    if {"input", "model", "end_to_end"} <= set(report):
        lines.append(bound(report))
    return "\n".join(lines)


def bound(report: Mapping[str, Any]) -> str:
    """A sentence that says whether input or model limits the run, and by how much.

    Args:
        report: with the sections ``input``, ``model`` and ``end_to_end``.
    """
    # The host share, since that is the input of training.
    feeds = report["input"]["host_share"]["images_per_s"]
    takes, both = report["model"]["images_per_s"], report["end_to_end"]
    bounds, other, factor = "model", "input could feed", feeds / takes
    if factor < 1:
        bounds, other, factor = "input", "model could process", 1 / factor
    return (
        f"The {bounds} limits the run: the {other} {factor:.1f} times as many images; end to end, "
        f"it reaches {both['images_per_s']:.1f} images/s and waits for data "
        f"{both['data_wait']:.0%} of the time."
    )


# What a part that grows with the replicas means: first on GPUs, then on virtual devices.
_WHY = {
    "launch": (
        "the host starts the work of every replica, and the step is too small to hide that; more "
        "images per replica or --xla make it less",
        "the host starts the work of every replica, and updates the weights of each",
    ),
    "compute": (
        "an image takes longer beside other replicas, which share power, memory or cores",
        "an image takes longer beside other replicas, as virtual devices share the cores",
    ),
    "reduction": (
        "gradients travel between the replicas; --gradient_dtype=bfloat16, --allreduce_mb or more "
        "images per replica may make it less",
        "gradients of all replicas are gathered, summed and handed out",
    ),
    "input": ("the step waits for batches", "the step waits for batches"),
}


def limit(count: int, row: Mapping[str, Any], *, on_gpus: bool) -> str:
    """A sentence that says what keeps ``count`` replicas from ``count`` times the images of one.

    Args:
        count: number of replicas.
        row: their figures, of ``replica_scaling``.
        on_gpus: whether they are GPUs.
    """
    if count == 1:
        parts = row["part_ms_per_step"]
        most = max(parts, key=lambda part: parts[part])
        return f"1 replica: {most} is {parts[most] / row['ms_per_step']:.0%} of a step."
    reached = f"{_replicas(count)} reach {row['efficiency']:.0%} of {count} times one"
    if not row["limit"]:
        return f"{reached}: nothing keeps them from ideal."
    lost = row["part_ms_lost"]
    return (
        f"{reached}. What keeps them from ideal is {row['limit']}, {lost[row['limit']]:.1f} of "
        f"{sum(lost.values()):.1f} ms that a step loses: {_WHY[row['limit']][not on_gpus]}."
    )


def _convert_lines(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for verify in ("decode", "header"):
        row = found[f"verify_{verify}"]
        lines += [
            f"convert --verify={verify}: {row['images']:,} images per round, one worker",
            _row("bare JPEG decoding", row["bare_decode"]),
            f"{_row('whole', row)}   {_ratio(row)}",
            *_part_lines(row),
        ]
    return lines + (_scaling_lines(found["scaling"]) if "scaling" in found else [])


def _scaling_lines(found: Mapping[str, Any]) -> list[str]:
    workers = found["workers"]
    lines = [f"convert: {found['images']:,} images, complete commands, from their first shard on"]
    for name, title in (("one_worker", "1 worker"), ("all_workers", f"{workers} workers")):
        row = found[name]
        lines.append(
            f"  {title:18}{row['images_per_s']:9.1f} images/s"
            f"{row['cpu_ms_per_image']:9.3f} CPU ms/image"
            f"{row['whole_cpu_ms_per_image']:9.3f} with the start   {row['busy_share']:.1%} busy"
        )
    return [
        *lines,
        f"  {workers} workers need {found['cpu_ratio']:.3f} times the CPU time of 1, "
        f"{found['whole_cpu_ratio']:.3f} times with the start",
    ]


def _replica_lines(found: Mapping[str, Any]) -> list[str]:
    on_gpus = found["num_gpus"] > 0
    where = (
        "GPUs" if on_gpus else f"virtual devices, which share {found['cores']} cores and threads"
    )
    lines = [f"scaling: {found['images_per_replica']} images per replica and step, on {where}"]
    rows = {int(name[9:]): row for name, row in found.items() if name.startswith("replicas_")}
    for count, row in rows.items():
        parts = row["part_ms_per_step"].items()
        lines += [
            f"{_row(_replicas(count), row)}   {row['efficiency']:.1%} of ideal",
            f"    {row['ms_per_step']:.2f} ms per step: "
            + ", ".join(f"{part} {milliseconds:.2f}" for part, milliseconds in parts)
            + f"; {row['single_step_ratio']:.3f} times as long with --steps_per_loop=1",
        ]
    lines += [f"  {limit(count, row, on_gpus=on_gpus)}" for count, row in rows.items()]
    left_out = ", ".join(map(str, found["left_out"]))
    most = f"{found['num_gpus']} GPU(s) here" if on_gpus else "at most 8 virtual devices"
    return lines + ([f"  {left_out} replicas: left out, {most}"] if left_out else [])


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _evaluation_lines(found: Mapping[str, Any]) -> list[str]:
    titles = {
        "coco": "COCO's twelve numbers",
        "part_scored_set": "  joining boxes",
        "part_overlaps": "  overlaps",
        "part_coco": "  matching and counting",
        "part_voc": "VOC's AP from overlaps",
    }
    lines = [f"evaluation: {found['images']:,} images of 100 detections"]
    lines += [f"  {title:26}{_cpu(found[name])}" for name, title in titles.items()]
    return lines + [
        f"  {name:26}{_cpu(row)}   {row['ratio_to_coco']:.1f} times ours, "
        f"numbers differ by {row['difference']:.1g}"
        for name, row in found["peers"].items()
    ]


def _cpu(row: Mapping[str, float]) -> str:
    return f"{row['cpu_ms_per_image']:9.3f} CPU ms/image ±{row['cpu_ms_spread']:<6.1%}"


def _input_lines(found: Mapping[str, Any], num_records: int) -> list[str]:
    lines = [f"input: {found['images']:,} images per row, from {num_records:,} records"]
    # Reports of earlier versions lack them.
    if jpegs := found.get("jpegs"):
        chroma = ", ".join(f"{share:.0%} {name}" for name, share in jpegs["chroma"].items())
        lines.append(
            f"  a JPEG has {jpegs['kilobytes']:.1f} kB and {jpegs['megapixels']:.2f} megapixels; "
            f"{jpegs['progressive']:.1%} are progressive; chroma: {chroma}"
        )
    lines.append(_row("bare JPEG decoding", found["bare_decode"]))
    if eighth := found.get("bare_eighth"):
        lines.append(f"{_row('… to 1/8 of the size', eighth)}   {_ratio(eighth)}")
    for name, title in (("host_share", "host share"), ("same_work", "same work")):
        row = found[name]
        lines.append(
            f"{_row(title, row)}   {_ratio(row)}   "
            f"{row['cores_for_1000_images_per_s']:.2f} cores for 1,000 images/s"
        )
    return lines + _part_lines(found)


def _step_lines(found: Mapping[str, Any]) -> list[str]:
    lines = _part_lines(found) if "part_cpu_ms_per_image" in found else []
    if "inference" in found:
        milliseconds = found["inference"]["cpu_ms_per_image"]
        lines.append(f"    {'inference':38}{milliseconds:8.3f} CPU ms/image")
    for name, peer in found.get("peers", {}).items():
        facts = peer["facts"]
        lines.append(
            f"  {name} {facts['torchvision']} (torch {facts['torch']}, {facts['threads']} threads, "
            f"{facts['multiply_adds']:.2f} GMAC an image)"
        )
        for work in ("step", "inference"):
            row = peer[work]
            per_work = row.get("speed_per_multiply_add")
            lines.append(
                f"    {work:38}{row['cpu_ms_per_image']:8.3f} CPU ms/image   ours is "
                f"{row['speed_of_ours']:.2f} ±{row['speed_spread']:.1%} times as fast"
                + (f", {per_work:.2f} times for the same GMAC" if per_work else "")
            )
    return lines + ([f"  {found['peer_left_out']}"] if "peer_left_out" in found else [])


def _part_lines(found: Mapping[str, Any]) -> list[str]:
    return [
        f"    {name:38}{milliseconds:8.3f} CPU ms/image  {found['shares'][name]:6.1%}"
        for name, milliseconds in found["part_cpu_ms_per_image"].items()
    ]


def _ratio(row: Mapping[str, float]) -> str:
    return f"{row['ratio_to_decode']:.2f} ±{row['ratio_spread']:.1%} of decoding"


def _row(title: str, row: Mapping[str, float]) -> str:
    return (
        f"  {title:18}{row['images_per_s']:9.1f} images/s ±{row['images_per_s_spread']:<6.1%}"
        f"{_cpu(row)}"
    )
