"""Rows by hand, and the tickets that most tests of the audit look at."""

import pytest

from ftkit import data


@pytest.fixture(scope="session")
def tickets():
    return data.as_rows(data.load("tickets")["train"])


@pytest.fixture(scope="session")
def facts():
    return data.load("facts")
