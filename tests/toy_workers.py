"""Trainings of several workers, each a process on this machine, on a network of seconds."""

import json
import os
import subprocess
import time

from linked_workers import free_port
from toy_training import ROOT, command


class Workers:
    """``count`` processes of one training; what each prints is in a file of its own.

    Args:
        folder: for these files.
        count: number of workers.
        records: folder of the record set.
        run_dir: of the run.
        *flags: of all.
        own: {index: flags} of one.
        absent: indices of workers that are not started.
    """

    def __init__(self, folder, count, records, run_dir, *flags, own=None, absent=()):
        # The leader of the group listens 1000 above its own.
        self.ports = [free_port(beside=1000) for _ in range(count)]
        self.paths = [folder / f"worker-{index}-{self.ports[0]}.txt" for index in range(count)]
        addresses = [f"localhost:{port}" for port in self.ports]
        self.processes = []
        for index in range(count):
            if index in absent:
                self.processes.append(None)
                continue
            task = {"type": "worker", "index": index}
            said = json.dumps({"cluster": {"worker": addresses}, "task": task})
            more = (own or {}).get(index, ())
            words = command(records, run_dir, "--cluster=auto", *flags, *more)
            with self.paths[index].open("wb") as file:
                self.processes.append(
                    subprocess.Popen(
                        words,
                        cwd=ROOT,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        env=os.environ | {"TF_CONFIG": said},
                    )
                )

    def said(self, index):
        """What a worker has printed so far, without TensorFlow's own lines."""
        lines = self.paths[index].read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith(("WARNING", "I0000")))

    def wait_for(self, words, index=0, seconds=240):
        """Waits until worker ``index`` has printed ``words``."""
        end = time.monotonic() + seconds
        while words not in self.said(index):
            alive = self.processes[index].poll() is None
            assert alive and time.monotonic() < end, self.all_said()
            time.sleep(0.02)

    def ended(self, seconds=240):
        """Waits for all to end; returns their exit codes."""
        end = time.monotonic() + seconds
        try:
            return [
                process.wait(timeout=max(0.1, end - time.monotonic()))
                for process in self.processes
                if process
            ]
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running: {self.all_said()}") from None
        finally:
            self.kill()

    def kill(self):
        """Kills those that still run."""
        for process in self.processes:
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def all_said(self):
        """What all have printed."""
        return "\n".join(f"--- worker {i}\n{self.said(i)}" for i in range(len(self.paths)))
