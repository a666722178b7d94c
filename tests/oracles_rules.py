"""Published rule-sets as small functions, written from the formulas that each cites: text -> the reason it goes for, or None."""

from __future__ import annotations

import re
from collections import Counter
from statistics import median

import oracles_text as oracles
import yaml

from megadata.corpus.characters import PUNCTUATION, TERMINAL
from megadata.corpus.juicer_lists import common_words, special_characters
from megadata.corpus.rulefiles import RULE_SETS

TOP = ((2, 0.2), (3, 0.18), (4, 0.16))
REPEATED = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def later(elements: list[str]) -> tuple[int, int]:
    """Second and later occurrences, and their characters."""
    seen: set[str] = set()
    count = size = 0
    for element in elements:
        if element in seen:
            count, size = count + 1, size + len(element)
        seen.add(element)
    return count, size


def grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def gopher_dolma(text: str) -> str | None:
    """get_attributes of taggers/gopher.py, then the exclusions of dolma-v1_6/mixing/cc-head.yaml."""
    words = text.split()
    if len(words) < 50:
        return "too_few_words"
    if len(words) > 100_000:
        return "too_many_words"
    middle = median(len(word) for word in words)
    if middle < 3 or middle > 10:
        return "short_words" if middle < 3 else "long_words"
    if sum("#" in w or "…" in w for w in words) / len(words) > 0.1:
        return "too_many_symbols"
    if sum(any(c.isalpha() for c in w) for w in words) / len(words) < 0.8:
        return "too_few_letters"
    if sum(w in STOPS for w in words) < 2:
        return "too_few_stop_words"
    lines = text.split("\n")
    if sum(line.startswith(("*", "-")) for line in lines) / len(lines) > 0.9:
        return "bulleted_lines"
    if sum(line.endswith("…") for line in lines) / len(lines) > 0.3:
        return "elliptic_lines"
    times = Counter(lines)
    if sum(n for n in times.values() if n > 1) / len(lines) > 0.3:
        return "repeated_lines"
    if sum(len(line) * n for line, n in times.items() if n > 1) / sum(map(len, words)) > 0.3:
        return "repeated_line_characters"
    for n, most in REPEATED:
        counts = Counter(grams(words, n))
        sizes = {gram: sum(map(len, gram)) for gram in counts}
        whole = sum(times * sizes[gram] for gram, times in counts.items())
        if whole and sum(times * sizes[gram] for gram, times in counts.items() if times > 1) / whole > most:
            return f"repeated_{n}grams"
    return None


def c4_tfds(text: str) -> str | None:
    """is_valid_length and clean_page of c4_utils.py, with sentences as our oracle counts them."""
    if len(text) > 190_000:
        return "too_long"
    sentences = 0
    for line in text.splitlines():
        line = line.strip()
        if any(len(word) > 1000 for word in line.split()):
            continue
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line)
        if not line.endswith((".", "?", "!", '"')) or line.endswith("..."):
            continue
        if len(line.split()) < 5:
            continue
        lower = line.lower()
        if "lorem ipsum" in lower:
            return "lorem_ipsum"
        if "javascript" in lower:
            continue
        if "{" in line:
            return "curly_bracket"
        if any(phrase in lower for phrase in POLICY):
            continue
        sentences += oracles.sentences(line)
    return "too_few_sentences" if sentences < 3 else None


def nemo_english(text: str) -> str | None:
    """The filters of heuristic_filter_english_pipeline.yaml in its order; the first seen of equally frequent n-grams."""
    if not text:
        return "no_text"
    size, words = len(text), text.split()
    if sum(re.fullmatch(r"[a-zA-Z0-9\n?!,.]", c) is None for c in text) / size > 0.25:
        return "unusual_characters"
    marks = {"...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more"}
    if words and sum(w in marks or len(re.findall("#+", w)) / len(w) > 0.5 for w in words) / len(words) > 0.1:
        return "symbols"
    if sum(c.isdecimal() for c in text) / size > 0.15:
        return "digits"
    urls = re.findall(r"https?://(?:[A-Za-z0-9$\-_@.&+/:=?#~]|[!*\(\),]|(?:%[0-9A-Fa-f]{2}))+", text)
    if sum(map(len, urls)) / size > 0.2:
        return "urls"
    if sum(c in "\t\n\r\b " for c in text) / size > 0.25:
        return "blanks"
    if sum(c in "{}⟨⟩[]()" for c in text) / size > 0.1:
        return "brackets"
    paragraphs = text.split("\n\n")
    lower = [p.strip().lower() for p in paragraphs]
    phrases = (*POLICY, "privacy overview", "privacy & cookies policy", "privacy and cookies policy")
    if any("lorem ipsum" in p for p in lower):
        return "boilerplate"
    if sum(any(phrase in p for phrase in phrases) for p in lower) / len(lower) > 0.4:
        return "boilerplate"
    lines = [line for line in text.split("\n") if line.strip()]
    if lines and len(set(lines)) / len(lines) < 0.7:
        return "repeated_lines"
    if len(set(paragraphs)) / len(paragraphs) < 0.7:
        return "repeated_paragraphs"
    if lines and len("".join(set(lines))) / len("".join(lines)) < 0.8:
        return "repeated_line_characters"
    if "".join(paragraphs) and len("".join(set(paragraphs))) / len("".join(paragraphs)) < 0.8:
        return "repeated_paragraph_characters"
    if len(words) < 50:
        return "too_few_words"
    if len(words) > 100_000:
        return "too_many_words"
    if sum(not line.strip().endswith((".", "?", "!", '"', "'")) for line in lines) / len(lines) > 0.85:
        return "open_lines"
    if sum(any(c.isalpha() for c in w) for w in words) / len(words) < 0.8:
        return "too_few_letters"
    if sum(w in STOPS for w in words) < 2:
        return "too_few_stop_words"
    mean = sum(map(len, words)) / len(words)
    if mean > 10 or mean < 3:
        return "long_words" if mean > 10 else "short_words"
    if max(map(len, words)) > 1000:
        return "longest_word"
    if sum(line.strip().lower().endswith(tuple(marks)) for line in lines) / len(lines) > 0.3:
        return "elliptic_lines"
    for n, most in TOP:
        top = " ".join(Counter(grams(words, n)).most_common(1)[0][0])
        if (size - len(text.replace(top, ""))) / size > most:
            return f"top_{n}gram"
    for n, most in REPEATED:
        if oracles.repeated_ngrams(words, n, "spaced")[0] / size > most:
            return f"repeated_{n}grams"
    bullets = tuple("•‣⁃⁌⁍∙○●◘◦⦾⦿")
    if sum(line.strip().startswith(bullets) for line in lines) / len(lines) > 0.9:
        return "bulleted_lines"
    return None


def datajuicer(text: str) -> str | None:
    """Five filters of data_juicer/ops/filter with their defaults."""
    if not text or sum(c.isalnum() for c in text) / len(text) < 0.25:
        return "too_few_alphanumerics"
    times = sorted(Counter(text[i : i + 10] for i in range(len(text) - 9)).values(), reverse=True)
    if times:
        unique = sum(n == 1 for n in times)
        if sum(times[: min(int(len(times) ** 0.5), len(times) - unique)]) / sum(times) > 0.5:
            return "repeated_characters"
    special = special_characters()
    words = [w.lower().strip("".join(special)) for w in re.split(" |\n|\t", text) if w]
    words = [w for w in words if w]
    tens = Counter(grams(words, 10))
    if tens and sum(n for n in tens.values() if n > 1) / sum(tens.values()) > 0.5:
        return "repeated_words"
    if sum(c in special for c in text) / len(text) > 0.25:
        return "special_characters"
    if not words or sum(w in common_words() for w in words) / len(words) < 0.3:
        return "too_few_stop_words"
    return None


def refinedweb_lines(text: str) -> str:
    """The six line modifiers of dclm_baseline_refinedweb.yaml, one after another."""

    def filtered(keep: object) -> str:
        return "\n".join(line for line in text.split("\n") if not line or keep(line))  # type: ignore[operator]

    text = filtered(lambda line: sum(c.isupper() for c in line) / len(line) <= 0.5).strip()
    text = filtered(lambda line: sum(c.isdigit() for c in line) / len(line) <= 0.999999).strip()
    what = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
    counter = rf"^\W*\d(?:,|\.|\d)*(?:K|k|M|m|B|b)?\s+(?:{what})\W*$"
    text = filtered(lambda line: not re.search(counter, line.lower())).strip()
    text = filtered(lambda line: len(line.split()) >= 2)
    for pattern in (r"\s?(?:items in cart)", r"\s?(?:read more...)$", r"^(?:sign-in)\s?"):
        kept = []
        for line in text.split("\n"):
            if len(line.split()) <= 10:
                modified = re.sub(pattern, "", line, flags=re.IGNORECASE)
                if line and (not modified or modified.isspace()):
                    continue
                line = modified
            kept.append(line)
        text = "\n".join(kept).strip()
    return text


def refinedweb_dclm(text: str) -> str | None:
    """word_removal_ratio_filter around the line modifiers; words as fastText cuts them that begin with a letter or digit."""

    def count(part: str) -> int:
        return sum(word[0].isalnum() for word in re.split("[ \n\r\t\v\f\0]", part) if word)

    left, before = refinedweb_lines(text), count(text)
    if not left:
        return "no_lines_left"
    return "removed_words" if not before or (before - count(left)) / before > 0.05 else None


def fineweb2(language: str, text: str) -> str | None:
    """GopherRepetitionFilter, FineWebQualityFilter, GopherQualityFilter as fineweb-2-pipeline.py calls them; our `unicode` words.

    Thresholds and stop words are read from our file: they are data, the formulas are what is compared.
    """
    steps = yaml.safe_load((RULE_SETS / f"fineweb2@{language}.yaml").read_text("utf-8"))["steps"]
    limits = {k: float(v.split()[2]) for step in steps for k, v in step["filter"]["drop"].items()}
    words = oracles.unicode_words(text)
    if not text:
        return "no_lines"
    lines = re.split("\n+", text)
    if later(lines)[0] / len(lines) > limits["repeated_lines"]:
        return "repeated_lines"
    for n in (2, 3, 4):
        if words and oracles.top_ngram(words, n, 1, "first", True) / len(text) > limits[f"top_{n}gram"]:
            return f"top_{n}gram"
    for n in range(5, 11):
        if words and oracles.repeated_ngrams(words, n, "skipping")[0] / len(text) > limits[f"repeated_{n}grams"]:
            return f"repeated_{n}grams"
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return "no_lines"
    if sum(line.endswith(tuple(TERMINAL)) for line in lines) / len(lines) < limits.get("open_lines", 0):
        return "open_lines"
    if later(lines)[1] / len(text.replace("\n", "")) > 0.1:
        return "repeated_line_characters"
    if text.count("\n") / len(words) > limits["newlines"]:
        return "newlines"
    plain = [w for w in words if any(c not in PUNCTUATION and c not in TERMINAL for c in w)]
    if len(plain) < 50:
        return "too_few_words"
    if len(plain) > 100_000:
        return "too_many_words"
    mean = sum(map(len, plain)) / len(plain)
    if mean < limits.get("short_words", 0) or mean > limits["long_words"]:
        return "short_words" if mean < limits.get("short_words", 0) else "long_words"
    if text.count("#") / len(words) > 0.1:
        return "too_many_hashes"
    if (text.count("...") + text.count("…")) / len(words) > 0.1:
        return "too_many_ellipses"
    lines = text.splitlines()
    if sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines) > 0.9:
        return "bulleted_lines"
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines) > 0.3:
        return "elliptic_lines"
    if sum(any(c.isalpha() for c in w) for w in words) / len(words) < limits["too_few_letters"]:
        return "too_few_letters"
    stops = set(steps[2]["filter"]["stop_words"])
    return "too_few_stop_words" if len(stops & set(words)) < 2 else None
