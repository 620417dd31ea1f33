"""params.yaml: a slip in the search space, and values that are both fixed and searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_texts import refused, study

SLIPS = {
    "an unknown name": (
        study(sweep__search_space={"lr": {"low": 0.1, "high": 0.2}}),
        "sweep.search_space.lr: unknown name; accepts learning_rate, weight_decay",
        "did you mean 'learning_rate'?",
    ),
    "a condition on no axis": (
        study(sweep__search_space__dropout={"choices": [0, 0.1], "when": {"grup": ["C4"]}}),
        "sweep.search_space.dropout.when.grup: unknown name; accepts model, group, positional",
        "did you mean 'group'?",
    ),
    "conditions in a list": (
        study(sweep__search_space__dropout={"low": 0, "high": 0.1, "when": ["C4"]}),
        "sweep.search_space.dropout.when: got ['C4']; accepts a mapping of names to values, each",
        "",
    ),
    "text for choices": (
        study(sweep__search_space__dropout={"choices": "0.1"}),
        "sweep.search_space.dropout.choices: got '0.1'; accepts a list of 1 to 64 values, each a",
        "did you mean '[0.1]'?",
    ),
    "an empty space": (study(sweep__search_space={}), "sweep.search_space: got no name", ""),
    "low above high": (
        study(sweep__search_space__dropout={"low": 0.2, "high": 0.1}),
        "sweep.search_space.dropout.low: got 0.2, which is not below high: 0.1",
        "did you mean 'low: 0.1, high: 0.2'?",
    ),
    "a logarithm of zero": (
        study(sweep__search_space__weight_decay={"low": 0, "high": 0.1, "log": True}),
        "sweep.search_space.weight_decay.low: got 0 with log: true",
        "above 0",
    ),
    "a probability of one": (
        study(sweep__search_space__dropout={"choices": [0, 1]}),
        "sweep.search_space.dropout.choices[1]: got 1; accepts a number from 0 below 1",
        "",
    ),
    "half a domain": (
        study(sweep__search_space__dropout={"low": 0.1}),
        "sweep.search_space.dropout.high: missing; accepts a number",
        "",
    ),
    "half a step": (
        study(
            sweep__match=None,
            sweep__search_space__channels={"low": 8, "high": 16, "step": 0.5},
        ),
        "sweep.search_space.channels.step: got 0.5; accepts null or a whole number",
        "",
    ),
    "a width solved and searched": (
        study(sweep__search_space__channels={"choices": [8, 16]}),
        "sweep.match: got parameters, but sweep.search_space.channels searches",
        "did you mean 'null'?",
    ),
    "a width neither solved nor searched": (
        study(sweep__match=None),
        "sweep.match: got null, but sweep.search_space has no 'channels'",
        "",
    ),
    "batch size fixed and searched": (
        study(sweep__search_space__batch_size={"choices": [2, 4]}),
        "sweep.batch_size: got 64, but sweep.search_space.batch_size searches what it would fix",
        "null",
    ),
    "batch size nowhere": (
        study(sweep__batch_size=None),
        "sweep.batch_size: got null, but sweep.search_space has no 'batch_size'",
        "",
    ),
    "batch size in some cells": (
        study(
            sweep__batch_size=None,
            sweep__search_space__batch_size={"choices": [2, 4], "when": {"group": ["C4"]}},
        ),
        "sweep.search_space.batch_size.when: some cells would have none",
        "",
    ),
    "a batch of half an image": (
        study(sweep__batch_size=None, sweep__search_space__batch_size={"choices": [0.5]}),
        "sweep.search_space.batch_size.choices[0]: got 0.5",
        "",
    ),
    "an average of everything": (
        study(sweep__search_space__ema={"choices": [0.9, 1]}),
        "sweep.search_space.ema.choices[1]: got 1",
        "",
    ),
    "no such schedule": (
        study(sweep__schedule="linear"),
        "sweep.schedule: got 'linear'; accepts",
        "",
    ),
    "kernels without a use": (
        study(sweep__architecture__basis="gaussian"),
        "sweep.architecture.basis: got 'gaussian', which no cell of sweep.tokens and",
        "bilinear",
    ),
    "kernel size without a use": (
        study(sweep__architecture__kernel_size=7),
        "sweep.architecture.kernel_size: got 7, which no cell of sweep.tokens and sweep.model has",
        "null",
    ),
    "kernels without a middle": (
        study(sweep__architecture__kernel_size=6),
        "sweep.architecture.kernel_size: got 6, which has no middle; accepts null or an odd",
        "5",
    ),
    "heads fixed and searched": (
        study(sweep__search_space__heads={"choices": [2, 4]}),
        "sweep.architecture.heads: got 4, but",
        "",
    ),
}


@pytest.mark.parametrize(("text", "sentence", "hint"), SLIPS.values(), ids=SLIPS)
def test_slip_in_what_is_searched_is_named_with_what_helps(
    tmp_path: Path, text: str, sentence: str, hint: str
) -> None:
    problems = refused(tmp_path, text)
    assert any(sentence in problem and hint in problem for problem in problems), problems
