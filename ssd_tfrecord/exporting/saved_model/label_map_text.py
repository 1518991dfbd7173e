"""The label map of the TF Object Detection API: protobuf text of a StringIntLabelMap."""

from collections.abc import Sequence

from google.protobuf import text_encoding


def label_map_text(class_names: Sequence[str]) -> str:
    r"""The text of ``label_map.pbtxt``.

    Quotes, backslashes and control characters are escaped, and so are the bytes of UTF-8 of what is
    not ASCII (``caf\303\251``): so the file means the same to a program that reads it in another
    encoding.

    Args:
        class_names: of the labels 1, 2, ….
    """
    return "".join(
        f"item {{\n  id: {label}\n  name: '{_escaped(name)}'\n}}\n"
        for label, name in enumerate(class_names, 1)
    )


def _escaped(name: str) -> str:
    # A lone surrogate, which JSON can hold, has no bytes in UTF-8.
    return str(text_encoding.CEscape(name.encode(errors="replace"), as_utf8=False))
