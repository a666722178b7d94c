"""How damage of compressed files is counted."""

from __future__ import annotations

from megadata.documents.source import Problems
from megadata.runtime.damage import DamagedStream
from megadata.runtime.units import InputFile, Span


def without_place(error: Exception, file: InputFile) -> str:
    """The message, with the file named as ids name it: what is kept beside documents must not tell where the file lay."""
    return str(error).replace(file.path, file.name)


class Damage:
    """Counts what cannot be decoded while a span is read: each place once, by the span that holds its first byte.

    Attributes
    ----------
    ended : whether nothing can be read behind it, so that a record that is cut there is the damage itself.
    """

    def __init__(self, span: Span, problems: Problems) -> None:
        self._span, self._problems = span, problems
        self._told: set[int | None] = set()
        self.ended = False

    def __call__(self, damage: DamagedStream) -> None:
        """Count it, where it is new and the span's own."""
        span, file = self._span, self._span.file
        self.ended = self.ended or damage.resumes is None
        place = damage.start if damage.resumes is not None else None
        own = place is None or (span.start <= place and (span.stop == -1 or place < span.stop))
        if own and place not in self._told:
            self._told.add(place)
            where = file.name if place is None else f"{file.name}:{place}"
            self._problems.add("damaged_compression", where, without_place(damage, file))
