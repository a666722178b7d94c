"""datatrove's Gopher, C4 and FineWeb filters over a folder of JSON lines, run by the Python of an environment that holds it.

``python datatrove_clean.py INPUT_FOLDER OUTPUT_FOLDER WORKERS``: one task a worker; prints the documents that were kept.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def main(source, target, workers):
    """Filter all documents."""
    LocalPipelineExecutor(
        pipeline=[
            JsonlReader(source),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(),
            FineWebQualityFilter(),
            JsonlWriter(f"{target}/kept"),
        ],
        tasks=int(workers),
        workers=int(workers),
        logging_dir=f"{target}/logs",
    ).run()
    kept = 0
    for path in Path(target, "kept").glob("*.gz"):
        with gzip.open(path) as lines:
            kept += sum(1 for _ in lines)
    print(f"kept {kept}")


if __name__ == "__main__":
    main(*sys.argv[1:])
