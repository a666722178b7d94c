"""What a reader is told of stored bytes that cannot be decoded."""

from __future__ import annotations

from megadata.errors import CorpusError


class DamagedStream(CorpusError):
    """A compressed file that ends early or is corrupt; the bytes before the damage were delivered.

    Attributes
    ----------
    start, resumes : where the bytes that are lost begin, and where good ones may follow, in decoded bytes; None where nothing can
        be read behind the damage.
    """

    def __init__(self, message: str, start: int = 0, resumes: int | None = None) -> None:
        super().__init__(message)
        self.start, self.resumes = start, resumes
