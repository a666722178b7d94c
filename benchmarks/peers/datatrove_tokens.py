"""Tokens through datatrove and Hugging Face `datasets`, run by the tests in datatrove's environment.

``ds FOLDER WIDTH`` and ``megatron FOLDER WIDTH`` write the documents given as JSON on standard input as ``tokens.ds`` and
``tokens.bin``; ``parquet PATTERN``, ``arrow PATTERN`` and ``disk FOLDER`` print the rows that `datasets` reads.
"""

import json
import sys


def main(what: str, place: str, width: int) -> None:
    if what in ("ds", "megatron"):
        documents = json.load(sys.stdin)
        if what == "ds":
            from datatrove.pipeline.tokens.tokenizer import TokenizedFile

            file = TokenizedFile(place, "tokens.ds", save_final_metadata=True, token_size=width)
            for document in documents:
                file.write(document, None)
        else:
            from datatrove.pipeline.tokens.megatron_tokenizer import MegatronTokenizedFile

            file = MegatronTokenizedFile(place, "tokens", token_size=width)
            for document in documents:
                file.write(document)
        file.close()
        return
    import datasets

    if what == "disk":
        rows = datasets.load_from_disk(place)
    else:
        rows = datasets.load_dataset(what, data_files=place, split="train", cache_dir=f"{place}.cache".replace("*", ""))
    json.dump({"rows": rows.to_list(), "columns": rows.column_names}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)
