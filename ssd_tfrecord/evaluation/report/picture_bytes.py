"""Pictures as bytes: as JPEG of a limited size, as PNG, as an address."""

import base64
import io

from PIL import Image

_QUALITIES = (85, 75, 60, 40)


def jpeg(image: Image.Image, max_bytes: int) -> bytes:
    """``image`` as JPEG, as good as ``max_bytes`` allow; made smaller where none does."""
    while True:
        for quality in _QUALITIES:
            target = io.BytesIO()
            image.save(target, "JPEG", quality=quality, optimize=True)
            if target.tell() <= max_bytes or max(image.size) <= 32:
                return target.getvalue()
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def png(image: Image.Image) -> bytes:
    """``image`` as PNG, larger by a tenth than it could be, but four times as fast."""
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=1)
    return target.getvalue()


def data_uri(content: bytes) -> str:
    """A JPEG as the address of itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
