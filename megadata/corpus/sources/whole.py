"""Files that are one document: read whole, within the limit of a record."""

from __future__ import annotations

import re

from megadata.corpus.sources.charset import decode
from megadata.documents.damage import without_place
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import open_decoded
from megadata.runtime.units import InputFile

_HEAD_BYTES = 4096
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def read_whole(file: InputFile, options: ReadOptions, problems: Problems) -> bytes | None:
    """Decoded bytes of a file; None where it is too large, damaged or empty, which `problems` then holds."""
    blocks: list[bytes] = []
    size = 0
    try:
        with open_decoded(file.path) as stream:
            while block := stream.read(1 << 20):
                blocks.append(block)
                size += len(block)
                if size > options.max_record_bytes:
                    problems.add("record_too_large", file.name, f"more than {options.max_record_bytes} bytes")
                    return None
    except DamagedStream as damage:
        problems.add("damaged_compression", file.name, without_place(damage, file))
        return None
    if size == 0:
        problems.add("empty_file", file.name, "no bytes")
        return None
    return b"".join(blocks)


def decoded_text(data: bytes, file: InputFile, problems: Problems) -> str | None:
    """The text of a plain file; None where its bytes are no text, which `problems` then holds."""
    if is_binary(data):
        problems.add("not_text", file.name, "control characters among the first bytes")
        return None
    return decode(data, markup=False)


def is_binary(data: bytes) -> bool:
    """Whether the first bytes of a file are no text: control characters among them, and no byte order mark of UTF-16."""
    head = data[:_HEAD_BYTES]
    return not head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(_CONTROLS.findall(head)) > max(len(head) // 50, 5)
