"""Words in the class, id and role of an element: the kernel against plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracles_html import name_bits

from megadata.corpus.sources.evidence import evidence, meaning, table
from megadata.corpus.sources.page import join, scan_bytes
from megadata.kernels import html as kernels

WORDS: dict[str, int] = {}
for place, words in enumerate(table()["words"].values()):
    for one in words.split():
        WORDS[one] = WORDS.get(one, 0) | (1 << place)
KNOWN = st.sampled_from(sorted(WORDS))
PARTS = (
    KNOWN
    | KNOWN.map(str.upper)
    | KNOWN.map(str.capitalize)
    | st.sampled_from(["twitter-tweet", "fb-post", "instagram-media", "twitter-video", "twitter"])
    | st.sampled_from(["-", " ", "_", "\r\n", "\r", "9", "x", "é"])
)
NAMES = st.lists(PARTS, max_size=40).map(lambda parts: "".join(parts).encode()) | st.binary(max_size=300)


@given(value=NAMES)
def test_names_mean_what_plain_python_reads_in_them(value: bytes) -> None:
    assert meaning(value) == name_bits(value, WORDS)


@given(first=KNOWN, second=KNOWN)
def test_words_written_together_are_found(first: str, second: str) -> None:
    for value in (first + second, f"{first} {second}", first.capitalize() + second.capitalize(), f"x{first}{second}s"):
        assert meaning(value.encode()) == name_bits(value.encode(), WORDS)


@given(names=st.lists(KNOWN | st.just("x"), min_size=3, max_size=3))
def test_class_id_and_role_are_added_to_what_the_element_says_itself(names: list[str]) -> None:
    page = scan_bytes("<div class={} id={} role={}>word</div>".format(*names).encode())
    assert len(page.blocks) == 1
    found = int(evidence(join([page])).inside_K[0])
    said = [name_bits(name.encode(), WORDS) for name in names]
    assert found == said[0] | said[1] | said[2]
    assert np.array_equal(page.nodes[:, kernels.FLAGS], [0])
