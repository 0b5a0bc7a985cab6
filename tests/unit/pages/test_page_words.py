"""Numbers and times in words: unknown stays unknown, and nothing rounds into a claim."""

from __future__ import annotations

import doctest
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_facts import AT

from seamark.web import page_words


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(page_words).failed == 0


@pytest.mark.parametrize("write", [page_words.number, page_words.rate, page_words.milliseconds, page_words.percent])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_known_has_no_words(write, value):
    assert write(value) is None
    assert page_words.whole_percent(value) is None


@given(st.floats(1e-12, 1 - 1e-12))
def test_a_share_that_is_neither_nothing_nor_all_never_reads_so(ratio):
    assert page_words.percent(ratio) not in ("0 %", "100 %")
    assert page_words.whole_percent(ratio) not in ("0 %", "100 %")


@given(st.floats(1e-12, 1e12))
def test_traffic_that_is_there_never_reads_as_none(value):
    assert page_words.rate(value) not in ("0", "0.0", "0.00")


def test_an_instant_of_another_day_names_the_day():
    moment = page_words.moment(AT - timedelta(days=2), AT)
    assert moment is not None
    assert (moment.clock, moment.ago) == ("2026-03-02 14:30", "2 d ago")
    assert page_words.moment(AT + timedelta(hours=2), AT).ago == "in 2 h"
