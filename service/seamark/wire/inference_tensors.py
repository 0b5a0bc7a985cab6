"""Tensors of the Open Inference Protocol, as JSON or as bytes behind it, become flat lists of plain values."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.wire.budget import check_rows
from seamark.wire.inference_rows import Scalar
from seamark.wire.values import shown

TENSORS_MAX = 1_000  # in one body
RANK_MAX = 16
SIZE = "binary_data_size"

# NumPy's types of the same bytes. BF16, the upper half of a float32, has none.
_NUMPY = {
    "BOOL": "<u1",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "BF16": "<u2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES = (*_NUMPY, "BYTES")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Tensor:
    """One tensor: `rows` times `width` values, row by row. `flat`: each row is one value or a list of values."""

    name: str
    rows: int
    width: int
    flat: bool
    values: Sequence[Scalar]

    def column(self, place: int) -> Sequence[Scalar]:
        """Return the values of all rows at one place."""
        return self.values[place :: self.width]

    def row(self, index: int) -> list[Scalar]:
        """Return one row's values."""
        return list(self.values[index * self.width : (index + 1) * self.width])


def binary_bytes(described: Any) -> int:
    """Return how many bytes these tensors say to have behind the JSON; InputRefused where it is no list of tensors."""
    if not isinstance(described, list):
        raise InputRefused(f"{shown(described)} is no list of tensors")
    if len(described) > TENSORS_MAX:
        raise BodyTooLarge(f"the body holds {len(described):,} tensors; at most {TENSORS_MAX:,} are taken")
    return sum(_size_of(tensor, f"tensor {place}") or 0 for place, tensor in enumerate(described))


def read_tensors(described: list[Any], tail: memoryview, what: str) -> list[Tensor]:
    """Return the tensors of a list that binary_bytes() took; `tail` is what lies behind the JSON, all of it theirs.

    `what` is "inputs" or "outputs". InputRefused: a tensor is not what it says, or their rows differ; BodyTooLarge.
    """
    if not described:
        raise InputRefused(f"{what}: there is no tensor")
    found: list[Tensor] = []
    start = 0
    for place, tensor in enumerate(described):
        where = f"{what}[{place}]"
        size = _size_of(tensor, where)
        piece = None if size is None else tail[start : start + size]
        start += size or 0
        found.append(_read(tensor, piece, where))
        if found[-1].rows != found[0].rows:
            raise InputRefused(f"{where} has {found[-1].rows:,} rows, {what}[0] has {found[0].rows:,}; send the same")
    names = [tensor.name for tensor in found]
    if len(set(names)) < len(names):
        raise InputRefused(f"{what}: two tensors have the same name")
    return found


def _size_of(tensor: Any, where: str) -> int | None:
    if not isinstance(tensor, dict):
        raise InputRefused(f"{where}: {shown(tensor)} is no tensor; write an object of name, shape, datatype and data")
    parameters = tensor.get("parameters")
    size = parameters.get(SIZE) if isinstance(parameters, dict) else None
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise InputRefused(f"{where}.parameters.{SIZE}: {shown(size)} is no count of bytes")
    return size


def _read(tensor: dict[str, Any], piece: memoryview | None, where: str) -> Tensor:
    name, datatype = tensor.get("name"), tensor.get("datatype")
    if not isinstance(name, str):
        raise InputRefused(f"{where}.name: {shown(name)} is no name")
    if datatype not in DATATYPES:
        raise InputRefused(f"{where}.datatype: {shown(datatype)} is not known; known are {', '.join(DATATYPES)}")
    shape = _shape(tensor.get("shape"), f"{where}.shape")
    count = math.prod(shape)
    if piece is not None:
        values = _of_bytes(piece, datatype, count, where)
    else:
        values = _of_json(tensor.get("data"), shape, datatype, f"{where}.data")
    if len(values) != count:
        raise InputRefused(f"{where}: shape {shown(shape)} asks for {shown(count)} values, there are {len(values):,}")
    return Tensor(name, shape[0], math.prod(shape[1:]), len(shape) <= 2, values)


def _shape(shape: Any, where: str) -> list[int]:
    if not isinstance(shape, list) or not 0 < len(shape) <= RANK_MAX:
        raise InputRefused(f"{where}: {shown(shape)} is no list of 1 to {RANK_MAX} sizes")
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InputRefused(f"{where}: {shown(size)} is no size; write whole numbers from 0")
    if 0 in shape[1:] and shape[0]:
        raise InputRefused(f"{where}: {shown(shape)} is of rows that hold nothing")
    check_rows(shape[0], "rows")
    return shape


# --- as JSON -------------------------------------------------------------------------------------------------------


def _of_json(data: Any, shape: list[int], datatype: str, where: str) -> list[Scalar]:
    """Return values that are written flat, or nested exactly as the shape says."""
    if not isinstance(data, list):
        raise InputRefused(f"{where}: {shown(data)} is no list")
    values = data
    if data and isinstance(data[0], list):
        if len(data) != shape[0]:
            raise InputRefused(f"{where}: there are {len(data):,} rows, the shape says {shape[0]:,}")
        for size in shape[1:]:
            if not all(isinstance(part, list) and len(part) == size for part in values):
                raise InputRefused(f"{where}: is nested otherwise than its shape {shown(shape)} says")
            values = [value for part in values for value in part]
    fits, told = _FITS.get(datatype, (_is_number, "a number"))
    for value in values:
        if value is not None and not fits(value):
            raise InputRefused(f"{where}: {shown(value)} is not {told}, as {datatype} says")
    return [None if value is None else bool(value) for value in values] if datatype == "BOOL" else values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "BOOL": (lambda value: value in (True, False), "true or false"),
    "BYTES": (lambda value: isinstance(value, str), "a string"),
}


# --- as bytes ------------------------------------------------------------------------------------------------------


def _of_bytes(piece: memoryview, datatype: str, count: int, where: str) -> list[Scalar]:
    if datatype == "BYTES":
        return _texts(piece, count, where)
    kind = np.dtype(_NUMPY[datatype])
    if len(piece) != count * kind.itemsize:
        asked = shown(count * kind.itemsize)
        raise InputRefused(f"{where}: its shape asks for {asked} bytes of {datatype}, {SIZE} says {len(piece):,}")
    numbers = np.frombuffer(piece, kind)
    if datatype == "BF16":
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    elif datatype == "BOOL":
        numbers = numbers.astype(bool)
    values: list[Scalar] = numbers.tolist()
    return values


def _texts(piece: memoryview, count: int, where: str) -> list[Scalar]:
    """Return texts, each behind its length; what is no UTF-8 is unknown."""
    if len(piece) < 4 * count:
        raise InputRefused(f"{where}: {shown(count)} texts take more than the {len(piece):,} bytes {SIZE} says")
    found: list[Scalar] = []
    start = 0
    while start < len(piece):
        end = start + 4
        if end <= len(piece):
            end += _LENGTH.unpack_from(piece, start)[0]
        if end > len(piece):
            raise InputRefused(f"{where}: text {len(found):,} is longer than what is left of its bytes")
        try:
            found.append(str(piece[start + 4 : end], "utf-8"))
        except UnicodeDecodeError:
            found.append(None)
        start = end
    return found
