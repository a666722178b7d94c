"""datatrove's WARC pipeline over a folder of archives, in datatrove's own environment: WarcReader, Trafilatura, JsonlWriter.

::

    .peers/datatrove/bin/python benchmarks/peers/datatrove_warc.py ARCHIVES OUTPUT WORKERS

prints ``{"seconds": ..., "pages": ...}``; each worker takes whole files, so ARCHIVES holds as many as there are workers.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers import JsonlWriter


def main(archives: str, output: str, workers: int) -> None:
    """Run the pipeline and count what it wrote."""
    pipeline = [WarcReader(archives), Trafilatura(timeout=20), JsonlWriter(f"{output}/pages")]
    executor = LocalPipelineExecutor(pipeline, tasks=workers, workers=workers, logging_dir=f"{output}/logs")
    began = time.perf_counter()
    executor.run()
    seconds = time.perf_counter() - began
    pages = 0
    for path in Path(output, "pages").glob("*.jsonl.gz"):
        with gzip.open(path, "rb") as lines:
            pages += sum(1 for _ in lines)
    print(json.dumps({"seconds": seconds, "pages": pages}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
