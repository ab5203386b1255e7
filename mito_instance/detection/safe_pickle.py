"""Pickles of weights from strangers: arrays, tensors and plain containers, and no code.

An allow-list of NumPy's own classes is not enough: their ``__setstate__`` believes what the file
says of sizes and flags, and a damaged file can crash the process. Arrays are therefore rebuilt
here, from checked sizes and bytes.
"""

from __future__ import annotations

import io
import math
import pickle  # only behind the allow-list of _Unpickler
import re
import reprlib
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt
import torch

_DTYPE = re.compile(r"[<>|=]?(?:[biuf][1248]|\?)")
_MAX_DIMENSIONS = 16
_MAX_VISITS = 10_000
_N_OLD_PICKLES = 5
"""Without a zip: a number, a version, the machine, the object and the names of its storages."""


def load_pickle(file: BinaryIO) -> Any:
    """What a pickle holds; in a mapping and in the mappings in it, arrays are NumPy's.

    Args:
        file: opened for reading bytes.

    Raises:
        pickle.UnpicklingError: if it names anything but arrays, tensors and plain containers, or
            an array's size does not fit its bytes.
        Exception: what else the unpickler raises on damaged files.
    """
    content = _Unpickler(file, encoding="latin1").load()
    if not isinstance(content, Mapping):
        return content
    return {name: _with_arrays(value) for name, value in content.items()}


def check_tuples(file: BinaryIO) -> None:
    """Refuse a file of ``torch.save`` with tuples that take for ever to hash.

    Nothing in it is made: whatever it names is a blank.

    Args:
        file: opened for reading bytes; read again from its beginning afterwards.

    Raises:
        pickle.UnpicklingError: for such a tuple.
        Exception: what else the unpickler raises on damaged files.
    """
    if zipfile.is_zipfile(file):
        file.seek(0)
        # torch's own reader: of two entries of one name, it takes the one that torch takes.
        data = io.BytesIO(torch._C.PyTorchFileReader(file).get_record("data.pkl"))
        _Blanks(data, encoding="utf-8").load()
    else:
        file.seek(0)
        for _ in range(_N_OLD_PICKLES):
            _Blanks(file, encoding="latin1").load()
    file.seek(0)


def _with_arrays(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.rebuilt()
    if isinstance(value, Mapping):
        return {
            name: inner.rebuilt() if isinstance(inner, _Array) else inner
            for name, inner in value.items()
        }
    return value


class _DType:
    """Stands for ``numpy.dtype`` in a pickle: numbers only."""

    def __init__(self, name: object, *_: object) -> None:
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise pickle.UnpicklingError(
                f"arrays must be of numbers, got dtype {reprlib.repr(name)[:80]}"
            )
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(
                f"byte order must be <, >, | or =, got {reprlib.repr(order)[:80]}"
            )
        self.dtype = np.dtype(order + self.dtype.str[1:])


class _Array:
    """Stands for ``numpy.ndarray`` in a pickle, until its bytes are known."""

    def __init__(self, *_: object) -> None:
        self.array: npt.NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        shape, dtype, is_fortran, data = state[-4:]
        self.array = _array(shape, dtype, data, "F" if is_fortran else "C")

    def rebuilt(self) -> npt.NDArray[Any]:
        """The array.

        Raises:
            pickle.UnpicklingError: if the pickle gave it no content.
        """
        if self.array is None:
            raise pickle.UnpicklingError("an array has no content")
        return self.array


def _array(shape: Any, dtype: Any, data: Any, order: Any) -> npt.NDArray[Any]:
    """A writable array in the byte order of this machine."""
    if not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("an array must have a dtype")
    is_shape = isinstance(shape, tuple) and len(shape) <= _MAX_DIMENSIONS
    if not is_shape or any(not isinstance(edge, int) or edge < 0 for edge in shape):
        raise pickle.UnpicklingError(
            f"an array's shape must be sizes, got {reprlib.repr(shape)[:80]}"
        )
    data = data.encode("latin-1") if isinstance(data, str) else data  # of Python 2
    n_bytes = math.prod(shape) * dtype.dtype.itemsize
    if not isinstance(data, bytes | bytearray) or len(data) != n_bytes:
        got = len(data) if isinstance(data, bytes | bytearray) else type(data).__name__
        raise pickle.UnpicklingError(f"an array of {n_bytes} bytes has {got}")
    values = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return values.astype(dtype.dtype.newbyteorder("="), order="C", copy=True)


def _from_buffer(
    data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
) -> npt.NDArray[Any]:
    """What pickles of the protocol 5 call for an array; ``axes`` are those of a permuted one."""
    if axes is None:
        return _array(shape, dtype, data, "F" if order == "F" else "C")
    if not isinstance(axes, tuple | list) or {*map(type, axes)} - {int}:
        raise pickle.UnpicklingError("the order of an array's axes must be numbers")
    if sorted(axes) != list(range(len(axes))) or len(axes) > _MAX_DIMENSIONS:
        raise pickle.UnpicklingError(f"{reprlib.repr(axes)[:80]} is no order of axes")
    stored = _array(shape, dtype, data, "C")
    if stored.ndim != len(axes):
        raise pickle.UnpicklingError(f"an array of {stored.ndim} axes has {len(axes)} to order")
    return np.ascontiguousarray(stored.transpose(axes))


def _scalar(dtype: Any, data: Any) -> Any:
    return _array((), dtype, data, "C")[()]


def _encode_latin1(text: str, encoding: str) -> bytes:
    """What old pickles of byte strings call; any other codec is refused."""
    if encoding not in {"latin1", "latin-1"}:
        raise pickle.UnpicklingError(f"codec {encoding!r} is not allowed")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """What pickles of the protocols 0 to 2 call for empty byte strings."""
    return b""


def _load_storage(data: bytes) -> Any:
    check_tuples(io.BytesIO(data))
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    # `numpy.core` became `numpy._core` in NumPy 2; pickles name either.
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode_latin1,
    ("__builtin__", "bytes"): _no_bytes,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch.storage", "_load_from_bytes"): _load_storage,
}


MAX_MADE_BYTES = 8 << 30
"""Of all arrays of a pickle; the largest weights that anybody gives have a few GB."""


def _n_bytes(made: Any) -> int:
    """Memory of an array or text that a pickle had made; 0 for all else."""
    if isinstance(made, _Array):
        made = made.array
    if isinstance(made, np.ndarray):
        return int(made.nbytes)
    if isinstance(made, bytes):
        return len(made)
    if isinstance(made, torch.storage.TypedStorage):
        made = made._untyped_storage
    return int(made.nbytes()) if isinstance(made, torch.UntypedStorage) else 0


_BASE: Any = pickle._Unpickler
"""That of Python: the memo of the one in C takes as much memory as a file asks for."""


class _ShallowTuples(_BASE):
    """Makes no tuples of shared tuples of shared tuples: to hash such a key may take for ever."""

    dispatch: ClassVar[dict[int, Any]] = dict(_BASE.dispatch)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By address: how many items must be visited to hash a tuple, and the tuple itself, so that
        # its address remains its own.
        self._made: dict[int, tuple[int, tuple[Any, ...]]] = {}

    def _tuple(self, make: Callable[[Any], None]) -> None:
        """Make a tuple, and count what must be visited to hash it."""
        make(self)
        made = self.stack[-1]
        inner = sum(self._made.get(id(item), (1,))[0] for item in made if type(item) is tuple)
        if inner > _MAX_VISITS:
            raise pickle.UnpicklingError(f"a tuple of tuples with more than {_MAX_VISITS} items")
        self._made[id(made)] = inner + len(made), made

    def _bytearray8(self) -> None:
        (n_bytes,) = struct.unpack("<Q", self.read(8))
        if n_bytes >= 1 << 62:
            raise pickle.UnpicklingError(f"an array of {n_bytes} bytes")
        self.append(bytearray(self.read(n_bytes)))

    dispatch[pickle.TUPLE[0]] = partial(_tuple, make=_BASE.load_tuple)
    dispatch[pickle.TUPLE1[0]] = partial(_tuple, make=_BASE.load_tuple1)
    dispatch[pickle.TUPLE2[0]] = partial(_tuple, make=_BASE.load_tuple2)
    dispatch[pickle.TUPLE3[0]] = partial(_tuple, make=_BASE.load_tuple3)
    dispatch[pickle.BYTEARRAY8[0]] = _bytearray8


class _Unpickler(_ShallowTuples):
    """Knows the allowed globals; every other is refused."""

    dispatch: ClassVar[dict[int, Any]] = dict(_ShallowTuples.dispatch)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._n_made = 0

    def _counted(self, make: Callable[[Any], None]) -> None:
        """Make an object, and count its bytes: a few words of the file may repeat it for ever."""
        make(self)
        self._n_made += _n_bytes(self.stack[-1])
        if self._n_made > MAX_MADE_BYTES:
            raise pickle.UnpicklingError(f"its arrays have more than {MAX_MADE_BYTES} bytes")

    dispatch[pickle.REDUCE[0]] = partial(_counted, make=_BASE.load_reduce)
    dispatch[pickle.BUILD[0]] = partial(_counted, make=_BASE.load_build)
    dispatch[pickle.OBJ[0]] = partial(_counted, make=_BASE.load_obj)
    dispatch[pickle.INST[0]] = partial(_counted, make=_BASE.load_inst)

    def find_class(self, module: str, name: str) -> Any:
        """The allowed global of that name."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a weights file")
        return _ALLOWED[module, name]


class _Blank:
    """Stands for anything that a pickle names, takes whatever it is given and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> _Blank:
        return self

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass

    def append(self, _: object) -> None:
        """Take an item."""

    def extend(self, _: object) -> None:
        """Take items."""


class _Blanks(_ShallowTuples):
    """Makes a blank of everything that a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        """A blank; of what takes memory by a number alone, nothing.

        Raises:
            pickle.UnpicklingError: for a ``bytearray``.
        """
        if name == "bytearray":
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a weights file")
        return _Blank

    def persistent_load(self, pid: Any) -> Any:
        """A blank for a storage."""
        del pid
        return _Blank()
