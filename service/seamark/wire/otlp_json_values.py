"""The values that every signal in OTLP's JSON shares become structs; see otlp_json.py for the rules."""

from __future__ import annotations

from msgspec import Struct

Integer = int | float | str | None
Double = float | str | None  # NaN, Infinity and -Infinity are words


class AnyValue(Struct, rename="camel", gc=False):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Integer = None
    double_value: float | str | None = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None


class ArrayValue(Struct, rename="camel", gc=False):
    values: list[AnyValue] | None = None


class KeyValue(Struct, rename="camel", gc=False):
    key: str | None = None
    value: AnyValue | None = None


class KeyValueList(Struct, rename="camel", gc=False):
    values: list[KeyValue] | None = None


class Resource(Struct, rename="camel", gc=False):
    attributes: list[KeyValue] | None = None
