"""A TensorFlow Lite model as a tree of objects that can be changed."""

from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

# Of a TensorFlow Lite file, and the alignment of its buffers (schema.fbs: force_align).
_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16

# {code: name of the operation}
_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}


class FlatModel:
    """A model with one graph.

    ``root`` is its ``ModelT`` and ``graph`` its only ``SubGraphT``, as TensorFlow Lite's schema.fbs
    calls their fields.
    """

    def __init__(self, content: bytes) -> None:
        # Typed as TensorFlow is: not at all.
        self.root: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph: Any = self.root.subgraphs[0]

    def operation(self, operator: Any) -> str:
        """The name of an operator's operation, like CONV_2D; of a custom one, its own."""
        code = self.root.operatorCodes[operator.opcodeIndex]
        # Codes above 127 stand in the newer field alone, and in old files none does.
        name = _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        return code.customCode.decode() if name == "CUSTOM" else name

    def operators(self, name: str) -> list[Any]:
        """The operators of an operation."""
        return [one for one in self.graph.operators if self.operation(one) == name]

    def name(self, tensor: int) -> str:
        """The name of a tensor."""
        return self.graph.tensors[tensor].name.decode()

    def rename(self, tensor: int, name: str) -> None:
        """Names a tensor."""
        self.graph.tensors[tensor].name = name.encode()

    def add_operation(self, code: int, version: int) -> int:
        """Adds one of the format's own operations, and returns its index for ``opcodeIndex``."""
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = version
        self.root.operatorCodes.append(entry)
        return len(self.root.operatorCodes) - 1

    def drop_unused_buffers(self) -> None:
        """Empties the buffers that no tensor and no metadata uses."""
        users = [*self.graph.tensors, *(self.root.metadata or ())]
        used = {user.buffer for user in users}
        for index, buffer in enumerate(self.root.buffers):
            if index not in used:
                buffer.data = None

    def add_buffer(self, data: bytes) -> int:
        """Adds a buffer, and returns its index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self.root.buffers.append(buffer)
        return len(self.root.buffers) - 1

    def add_metadata(self, name: str, data: bytes) -> None:
        """Adds an entry to the model's metadata."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self.add_buffer(data)
        self.root.metadata = [*(self.root.metadata or ()), entry]

    def tensor_map(self, name: str, tensor: int) -> Any:
        """An input or output of a signature."""
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), tensor
        return entry

    def to_bytes(self) -> bytes:
        """The model as a file."""
        builder = _AlignedBuilder(1 << 20)
        builder.Finish(self.root.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):
    """Aligns bytes as the schema asks, which the generated Python code does not."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (overrides)
        if x.dtype != np.uint8:
            return int(super().CreateNumpyVector(x))
        self.StartVector(1, x.size, _ALIGNMENT)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        self.vectorNumElems = x.size
        return int(self.EndVector())
