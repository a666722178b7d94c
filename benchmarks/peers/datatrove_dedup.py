"""datatrove's four MinHash stages over a folder of JSON lines, run by the Python of an environment that holds it.

``python datatrove_dedup.py INPUT_FOLDER OUTPUT_FOLDER WORKERS BANDS ROWS``: prints the documents that were kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def main(source, target, workers, bands, rows):
    """Signatures, buckets, clusters, filter."""
    workers, bands = int(workers), int(bands)
    config = MinhashConfig(num_buckets=bands, hashes_per_bucket=int(rows))
    reader = JsonlReader(source)
    stages = (
        ([reader, MinhashDedupSignature(f"{target}/signatures", config)], workers),
        ([MinhashDedupBuckets(f"{target}/signatures", f"{target}/buckets", config=config)], bands),
        ([MinhashDedupCluster(f"{target}/buckets", f"{target}/remove", config=config)], 1),
        ([reader, MinhashDedupFilter(f"{target}/remove"), JsonlWriter(f"{target}/kept", compression=None)], workers),
    )
    for number, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline=pipeline, tasks=tasks, workers=min(workers, tasks), logging_dir=f"{target}/logs/{number}"
        ).run()
    kept = 0
    for path in Path(target, "kept").glob("*.jsonl"):
        with path.open("rb") as lines:
            kept += sum(1 for _ in lines)
    print(f"kept {kept}")


if __name__ == "__main__":
    main(*sys.argv[1:])
