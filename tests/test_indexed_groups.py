"""Blends inside blends, and weights that move during a run."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import numbered

from megadata.errors import ConfigError
from megadata.indexed.blend import Blend, Group, Phase, Source
from megadata.indexed.mixture import ENDLESS, Segment

L = 16
SIZES = {"a": 5000, "b": 2000, "c": 800, "d": 3000}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {name: numbered(folder / name, size, 100_000 * i) for i, (name, size) in enumerate(SIZES.items())}


def source(data, name: str, **more) -> Source:
    return Source(name=name, data=(data[name],), **more)


def nested(data, **changes) -> Blend:
    """a: 3/6; code: 2/6, of which b has 3/4 and deep 1/4 (c alone); d: 1/6."""
    code = Group(
        name="code",
        weight=2,
        sources=(source(data, "b", weight=3), Group(name="deep", weight=1, sources=(source(data, "c"),))),
    )
    sources = (source(data, "a", weight=3), code, source(data, "d", weight=1))
    return Blend(**{"sources": sources, "seed": 2, **changes})


def share_of(segment: Segment) -> list[Fraction]:
    return [Fraction(weight, sum(segment.weights)) for weight in segment.weights]


def test_a_group_divides_its_share_among_its_members(data):
    samples = nested(data).samples(L)
    assert samples.names == ("a", "code/b", "code/deep/c", "d")
    assert share_of(samples.segments[0]) == [Fraction(n, 12) for n in (6, 3, 1, 2)]
    counts = samples.counts(1200)
    assert all(abs(counts[n] - 100 * w) <= 2 for n, w in zip(samples.names, (6, 3, 1, 2), strict=True))


def test_what_a_member_can_no_longer_give_goes_to_its_group_first(data):
    blend = nested(data)
    a, code, d = blend.sources
    capped = Group(name="code", weight=2, max_epochs=1, sources=code.sources)
    samples = nested(data, sources=(a, capped, d)).samples(L)
    assert [source.limit for source in samples.sources] == [None, 125, 50, None]
    first, second, third = samples.segments
    gone = [name for name, w in zip(samples.names, second.weights, strict=True) if w == 0]
    assert gone == ["code/b"]
    assert share_of(second) == [Fraction(1, 2), 0, Fraction(1, 3), Fraction(1, 6)]
    assert share_of(third) == [Fraction(3, 4), 0, 0, Fraction(1, 4)]
    assert third.stop == ENDLESS
    assert first.counts(first.stop)[1] == 125
    plan = "\n".join(nested(data, sources=(a, capped, d)).plan(100_000, L).lines())
    assert "code/deep/c reaches its max_epochs; the other sources take its share from then on" in plan


def test_members_may_be_weighed_by_tokens_and_flattened(data):
    members = (source(data, "b"), source(data, "c"))
    group = Group(name="g", weight=1, weigh_by="tokens", temperature=2, sources=members)
    segment = nested(data, sources=(source(data, "a", weight=1), group)).samples(L).segments[0]
    a, b, c = share_of(segment)
    assert a == b + c == Fraction(1, 2)
    assert abs(float(b / c) - (2000 / 800) ** 0.5) < 1e-6
    whole = Blend(sources=(source(data, "a"), Group(name="g", sources=members))).samples(L).segments[0]
    assert share_of(whole) == [Fraction(SIZES[n], 7800) for n in "abc"]


def test_a_blend_file_inside_another_is_a_group_and_is_written_out_whole(data, tmp_path):
    inner = Blend.of({"b": data["b"], "c": data["c"]}, {"b": 3, "c": 1}, temperature=2)
    inner.save(tmp_path / "inner" / "blend.yaml")
    text = {
        "format": "blend",
        "version": 1,
        "sources": {"a": {"data": [data["a"]], "weight": 1}, "code": {"blend": "inner/blend.yaml", "weight": 2}},
        "phases": [{"from_tokens": 0, "to_tokens": 8000, "weights": {"code/c": 3, "a": 0}}],
    }
    (tmp_path / "outer.yaml").write_text(yaml.safe_dump(text))
    loaded = Blend.load(tmp_path / "outer.yaml")
    of = Blend.of({"a": data["a"], "code": inner}, {"a": 1, "code": 2}, phases=loaded.phases)
    again = Blend.load(loaded.save(tmp_path / "elsewhere" / "copy.yaml"))
    assert "inner" not in (tmp_path / "elsewhere" / "copy.yaml").read_text()
    expected = of.samples(L).batch(0, 900).tolist()
    assert loaded.samples(L).batch(0, 900).tolist() == again.samples(L).batch(0, 900).tolist() == expected


def test_a_ramp_is_at_most_64_constant_phases_that_move_evenly(data):
    start, stop = 100 * L, 1100 * L
    ramp = Phase(from_tokens=start, to_tokens=stop, weights={"a": 0, "b": 4})
    samples = Blend.of({n: data[n] for n in "ab"}, {"a": 4, "b": 0}, phases=[ramp]).samples(L)
    assert len(samples.segments) == 1 + 64
    assert samples.segments[-1].start == 1100
    parts = [float(share_of(s)[1]) for s in samples.segments]
    middles = [((s.start + min(s.stop, 1100)) / 2 - 100) / 1000 for s in samples.segments[1:-1]]
    assert parts[0] == 0
    assert parts[-1] == 1
    assert np.abs(np.array(parts[1:-1]) - middles).max() < 0.002
    assert max(np.diff(parts)) < 0.017
    drawn = samples.counts(1100)["b"]
    assert abs(drawn - 500) <= 64


def test_a_warm_up_starts_with_the_first_sample(data):
    ramp = Phase(from_tokens=0, to_tokens=630 * L, weights={"b": 1})
    samples = Blend.of({n: data[n] for n in "ab"}, {"a": 1, "b": 0}, phases=[ramp]).samples(L)
    assert samples.segments[0].start == 0
    assert share_of(samples.segments[0])[1] == Fraction(1, 127)
    assert share_of(samples.segments[-1])[1] == Fraction(1, 2)


def test_a_ramp_shorter_than_its_steps_loses_none_of_its_end(data):
    ramp = Phase(from_tokens=3 * L, to_tokens=3 * L + 5, weights={"b": 1})
    samples = Blend.of({n: data[n] for n in "ab"}, {"a": 1, "b": 0}, phases=[ramp]).samples(L)
    assert [s.start for s in samples.segments] == [0, 3, 4]
    assert share_of(samples.segments[-1])[1] == Fraction(1, 2)


WEIGHTS = st.lists(st.integers(0, 40), min_size=4, max_size=4).filter(any)


@given(WEIGHTS, st.lists(st.tuples(st.integers(1, 900), st.integers(0, 900), WEIGHTS), max_size=3), st.data())
@settings(max_examples=40)
def test_each_change_of_weights_adds_at_most_two_samples(data, first, steps, draw):
    """Within 1.68 of the share inside a phase; each border of phases adds at most as much as it can be off there."""
    phases, at = [], 0
    for gap, ramp, weights in steps:
        at += gap
        stop = at + ramp if ramp else None
        named = dict(zip(SIZES, weights, strict=True))
        phases.append(Phase(from_tokens=at * L, to_tokens=stop and stop * L, weights=named))
        at = stop or at
    samples = Blend.of(data, dict(zip(SIZES, first, strict=True)), phases=phases).samples(L)
    moments = sorted(draw.draw(st.lists(st.integers(0, 4000), min_size=5, max_size=5)))
    for moment in moments:
        wanted, changes = [Fraction(0)] * 4, -1
        for segment in samples.segments:
            inside = min(segment.stop, moment) - segment.start
            if inside <= 0:
                break
            changes += 1
            wanted = [w + inside * share for w, share in zip(wanted, share_of(segment), strict=True)]
        counts = samples.counts(moment)
        for name, share in zip(samples.names, wanted, strict=True):
            assert abs(counts[name] - share) < Fraction(168, 100) + 2 * max(changes, 0)


def test_a_longer_run_or_a_later_ramp_changes_nothing_before_it(data):
    blend = nested(data)
    longer = blend.with_phase(500 * L, {"code/b": 0.5}, [source(data, "d")][:0], to_tokens=900 * L)
    old, new = blend.samples(L), longer.samples(L)
    assert old.batch(0, 500).tolist() == new.batch(0, 500).tolist()
    assert old.batch(500, 900).tolist() != new.batch(500, 900).tolist()
    short, long = (blend.plan(tokens, L) for tokens in (500 * L, 5000 * L))
    assert short.tokens < long.tokens
    assert blend.samples(L).batch(0, 500).tolist() == old.batch(0, 500).tolist()


REFUSED = [
    ({"phases": [Phase(from_tokens=9, weights={"b": 1})]}, "weighs 'b', which is no source; sources: a, code, code/b,"),
    (
        {"phases": [Phase(from_tokens=9, to_tokens=99, weights={}), Phase(from_tokens=50, weights={})]},
        "the phase from 50 tokens starts before the ramp to 99 ends",
    ),
    ({"phases": [Phase(from_tokens=9, weights={"a": 0, "code": 0, "d": 0})]}, "all weights are 0 from 9 tokens on"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_wrong_phases_of_groups_are_refused(data, changes, message):
    with pytest.raises(ConfigError, match=message):
        nested(data, **changes).samples(L)


def test_wrong_groups_are_refused_in_a_sentence(data, tmp_path):
    for make, message in (
        (lambda: Group(name="g", sources=()), "source 'g': needs at least one source inside"),
        (lambda: Group(name="g", sources=(source(data, "a"),), weight=-1), "'g': weight must not be negative, got -1"),
        (lambda: Group(name="g", sources=(source(data, "a"),), temperature=0), "'g': temperature must be above 0"),
        (lambda: Phase(from_tokens=5, to_tokens=5, weights={}), "to_tokens must be above from_tokens, got 5"),
        (lambda: Phase(from_tokens=0, weights={}), "from_tokens must be above 0, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()
    seeded = Blend.of({"a": data["a"]}, split=(9, 1, 0))
    with pytest.raises(ConfigError, match="has split of its own, which a blend inside another cannot have"):
        Blend.of({"x": seeded})
    with pytest.raises(ConfigError, match="'x' is a blend; name its validation data beside the sources inside it"):
        Blend.of({"x": Blend.of({"a": data["a"]})}, validation={"x": data["b"]})
    path = tmp_path / "self.yaml"
    path.write_text("format: blend\nversion: 1\nsources: {me: {blend: self.yaml}}")
    with pytest.raises(ConfigError, match=r"self\.yaml: is a source of itself"):
        Blend.load(path)
    path.write_text("format: blend\nversion: 1\nsources: {g: {sources: {a: {data: [p], wait: 1}}}}")
    with pytest.raises(ConfigError, match=r"source 'g': source 'a': unknown key 'wait'; did you mean \"weight\""):
        Blend.load(path)
