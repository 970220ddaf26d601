"""Options: declared once, with the same names, order, types and defaults wherever they are given."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

import nbkeras
from nbkeras.notebook.magic.parser import Parser
from nbkeras.options import NAMES, TYPED, Options
from nbkeras.plan import Plan


@pytest.mark.parametrize("call", [nbkeras.fit, nbkeras.on_spark])
def test_a_call_takes_every_option_as_it_is_declared(call):
    taken = [one for one in inspect.signature(call).parameters.values() if one.name in NAMES]

    assert [(one.name, one.annotation, one.default) for one in taken] == [
        (one.name, one.type, one.default) for one in fields(Options)
    ]


def test_every_option_is_explained_where_fit_is():
    assert [name for name in NAMES if f"        {name}: " not in nbkeras.fit.__doc__] == []


def test_the_magic_reads_each_option_that_has_a_help():
    parser = Parser()
    line = " ".join(
        parser.spelling(name) + ("" if one.type == "bool" else " jax" if name == "backend" else " 7")
        for name, one in TYPED.items()
    )

    assert parser.parse(line) == {
        **dict.fromkeys(("workers", "gpus", "sync_every"), 7),
        **dict.fromkeys(("background", "resume", "restore_best", "trusted_network"), True),
        **dict.fromkeys(("name", "checkpoint", "monitor"), "7"),
        "backend": "jax",
        "heartbeat": 7.0,
    }


def test_a_plan_has_the_options_that_workers_need_with_the_same_defaults():
    defaults = {one.name: one.default for one in fields(Plan)}
    shared = {one.name: one.default for one in fields(Options) if one.name in defaults}

    assert shared.keys() == {"workers", "backend", "checkpoint", "heartbeat", "gpus", "sync_every"}
    settled = {"workers": 1, "backend": "tensorflow"}
    assert shared | settled == {name: defaults[name] for name in shared}
