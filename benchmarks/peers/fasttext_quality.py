"""fastText's supervised training, for comparison: run by the Python of an environment that holds it.

``python fasttext_quality.py JOBS.json``: a list of jobs ``{"train", "test", "settings"}``. `train` is a file of lines
``__label__good TEXT`` or ``__label__bad TEXT``, `test` one of lines ``TEXT``. Prints for each job one line
``{"train_s", "predict_s", "scores"}``: seconds of the processor, and how likely each line of `test` is good.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import fasttext


def run(job):
    """Train, then score the test lines in one call."""
    lines = Path(job["test"]).read_text("utf-8").split("\n")[:-1]
    began = time.process_time()
    model = fasttext.train_supervised(job["train"], verbose=0, **job["settings"])
    trained = time.process_time()
    labels, chances = model.predict(lines, k=2)
    done = time.process_time()
    scores = [
        dict(zip(names, map(float, values), strict=True)).get("__label__good", 0.0)
        for names, values in zip(labels, chances, strict=True)
    ]
    return {"train_s": trained - began, "predict_s": done - trained, "scores": scores}


if __name__ == "__main__":
    for one in json.loads(Path(sys.argv[1]).read_text("utf-8")):
        print(json.dumps(run(one)), flush=True)
