"""What one sees of a run."""

from __future__ import annotations

import io

import pytest

from megadata.trainer.report import LiveLine, describe, duration

START = {"event": "start", "step": 0, "steps": 3, "parameters": 5_273_088, "precision": "bf16"}
START |= {"device": "cpu", "processes": 1, "layout": {}, "checkpoint": None}


def step(number):
    return {
        "event": "step",
        "step": number,
        "steps": 3,
        "loss": 2.0,
        "grad_norm": 0.5,
        "lr": 1e-3,
        "tokens_per_s": 12345.6,
    }


def test_where_there_is_no_terminal_a_run_says_its_first_and_last_step():
    out = io.StringIO()
    hear = LiveLine("gpt", out)
    for event in (START, step(1), step(2), step(3)):
        hear(event)
    assert out.getvalue().splitlines() == [
        "gpt: 5,273,088 parameters, bf16 on cpu, 3 steps",
        "gpt: step 1/3: loss 2.0000, gradient 0.50, lr 1.00e-03, 12,346 tokens/s",
        "gpt: step 3/3: loss 2.0000, gradient 0.50, lr 1.00e-03, 12,346 tokens/s",
    ]


def test_on_a_terminal_one_line_is_written_over():
    out = io.StringIO()
    hear = LiveLine(out=out, live=True)
    for event in (
        step(1),
        step(2),
        {"event": "validation", "step": 2, "steps": 3, "validation": {"web": 1.5}},
        step(3),
    ):
        hear(event)
    lines = out.getvalue().split("\n")
    assert lines[0].count("\r") == 2
    assert lines[1] == "step 2/3: validation loss web 1.5000"
    assert lines[2].startswith("\rstep 3/3")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            {**START, "step": 2, "processes": 4, "layout": {"data": 2, "tensor": 2}},
            "5,273,088 parameters, bf16 on cpu x 4 (data 2, tensor 2), 3 steps, going on after step 2",
        ),
        ({"event": "stopped", "step": 2, "steps": 3}, "stopped after step 2 of 3; run the same command again to go on"),
        ({"event": "note", "text": "something"}, "something"),
        ({"event": "checkpoint", "step": 2, "path": "x"}, ""),
    ],
)
def test_events_are_told_in_one_line(event, text):
    assert describe(event) == text


def test_durations_are_for_reading():
    assert [duration(s) for s in (4.4, 59.4, 200, 7500)] == ["4 s", "59 s", "3 min 20 s", "2 h 05 min"]
