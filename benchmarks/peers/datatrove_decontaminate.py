"""Run datatrove's n-gram decontamination over JSON lines, in the environment that has datatrove.

``python datatrove_decontaminate.py EVALS DOCUMENTS FOLDER N`` prints one line of JSON: seconds of the filter, and the ids it
removes. datatrove's own indexer asks for lighteval even where texts are given, so its index is written here, by its functions.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.hashing import create_hash_func
from datatrove.utils.text import ngrams, simplify_text
from datatrove.utils.word_tokenizers import load_word_tokenizer


def main() -> None:
    """Index the evaluation texts, then filter the documents."""
    evals, documents, folder, width = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    config = NGramsDecontConfig(n_grams=width)
    tokenizer, hashed = load_word_tokenizer("eng"), create_hash_func(config.hash_config)
    found: set[int] = set()
    for line in evals.read_bytes().splitlines():
        words = tokenizer.word_tokenize(simplify_text(json.loads(line)["text"], config.norm_config))
        found.update(hashed(" ".join(one)) for one in ngrams(words, width))
    folder.mkdir(parents=True, exist_ok=True)
    np.array(list(found), config.hash_config.np_descr).tofile(folder / "evals.index.hashes")
    step = NGramsDecontFilter(str(folder), config, language="eng")
    step.load_index_hashes()
    docs = [Document(**json.loads(line)) for line in documents.read_bytes().splitlines()]
    step.filter(docs[0])
    began = time.perf_counter()
    removed = [doc.id for doc in docs if step.filter(doc) is not True]
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "removed": removed}))


if __name__ == "__main__":
    main()
