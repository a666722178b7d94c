"""JSON as programs write it: `NaN` and `Infinity`, which Python's json module writes and no standard knows, are null."""

from __future__ import annotations

import re
from typing import Any

import orjson

_NO_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?\b(?:NaN|Infinity)\b', re.DOTALL)


def loads(data: bytes) -> Any:
    """The value of a JSON text; `orjson.JSONDecodeError` where it is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if b"NaN" not in data and b"Infinity" not in data:
            raise
        return orjson.loads(_NO_NUMBER.sub(lambda found: found[0] if found[0][:1] == b'"' else b"null", data))
