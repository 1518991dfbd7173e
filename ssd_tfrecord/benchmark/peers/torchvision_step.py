"""torchvision's SSD as a program that steps when it is told to, for peer_process.

    python torchvision_step.py BACKBONE BATCH_SIZE NUM_CLASSES

Each line of its input is step or inference, and a count; each line of its output a JSON object: at
first {torch, torchvision, threads, multiply_adds} (those of an image, in thousand millions), then
{cpu_ms, wall_ms} of each line. Needs torch and torchvision, and nothing of ours.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

# Our backbone and the model that is nearest to it.
MODELS = {
    "vgg16": ("ssd300_vgg16", 300),
    "mobilenet_v2": ("ssdlite320_mobilenet_v3_large", 320),
    "mobilenet_v3_large": ("ssdlite320_mobilenet_v3_large", 320),
    "mobilenet_v3_large_reduced": ("ssdlite320_mobilenet_v3_large", 320),
}


def main(backbone: str, batch_size: int, num_classes: int) -> None:
    """Builds the model, takes a step that is not counted, and obeys its input until it ends."""
    import torch
    import torchvision
    from torchvision.models import detection

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    name, side = MODELS[backbone]
    weights = {"weights": None, "weights_backbone": None}
    model = getattr(detection, name)(**weights, num_classes=num_classes + 1)
    images = [torch.rand(3, side, side) for _ in range(batch_size)]
    # Three objects, as in our synthetic batch.
    boxes = [[30.0, 30.0, 150.0, 150.0], [60.0, 100.0, 280.0, 250.0], [10.0, 10.0, 80.0, 60.0]]
    labels = [1 + index % num_classes for index in range(3)]
    target = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        loss = sum(model(images, [target] * batch_size).values())
        loss.backward()
        optimizer.step()
        float(loss)

    def inference() -> None:
        # The network without suppression, as ours is measured.
        model.eval()
        with torch.inference_mode():
            model.head(list(model.backbone(torch.stack(images)).values()))

    works: dict[str, Callable[[], None]] = {"step": step, "inference": inference}
    for work in works.values():
        work()
    found = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    _say(**found, threads=torch.get_num_threads(), multiply_adds=_multiply_adds(inference, images))
    for line in sys.stdin:
        name, count = line.split()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(int(count)):
            works[name]()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        _say(cpu_ms=1000 * cpu, wall_ms=1000 * wall)


def _multiply_adds(inference: Callable[[], None], images: list[Any]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        inference()
    return counter.get_total_flops() / 2e9 / len(images)


def _say(**found: Any) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
