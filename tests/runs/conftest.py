"""What happens to files, in its order."""

import os

import pytest


class Operations(list):
    """(operation, name of the file) of each rename, deletion and fsync; ``before_fn`` goes first.

    The name of a rename is the new one.
    """

    before_fn = staticmethod(lambda: None)

    def spy(self, name, real):
        def operate(first, *rest, **more):
            self.before_fn()
            path = rest[0] if rest else first
            if name == "fsync":
                path = os.readlink(f"/proc/self/fd/{first}")
            self.append((name, os.path.basename(path)))
            return real(first, *rest, **more)

        return operate


@pytest.fixture
def operations(monkeypatch):
    """The Operations of the test."""
    done = Operations()
    for name in ("rename", "replace", "unlink", "fsync"):
        monkeypatch.setattr(os, name, done.spy(name, getattr(os, name)))
    return done
