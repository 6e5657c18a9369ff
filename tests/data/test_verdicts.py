"""Verdict files: what is read, and one clear line for each thing that can be wrong with one."""

import contextlib
import hashlib
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.data.votes.verdicts import as_votes, check_voters, read_verdicts, table_hash, unguarded
from clusterjax.data.votes.weighting import class_scores, is_cluster
from clusterjax.errors import InputError

TABLE = table_hash([1, 2, 3], [10.0, 20.0, 30.0], [-1.0, 0.0, 1.0])
HEAD = "voter,table,candidate,name,ra_deg,dec_deg,verdict,comment,time\n"


def row(candidate, verdict, *, voter="Anna", table=TABLE, comment=""):
    return f'"{voter}","{table}",{candidate},"CJX",1.0,2.0,"{verdict}","{comment}","2026-01-01"\n'


@pytest.fixture
def read(tmp_path):
    def read(text, name="anna.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_verdicts(path, **{"table": TABLE, "candidates": [1, 2, 3], **options})

    return read


def test_the_hash_is_of_numbers_and_positions():
    text = "1 10.0000000 -1.0000000\n2 20.0000000 0.0000000\n3 30.0000000 1.0000000\n"
    assert "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:32] == TABLE
    assert table_hash(np.array([1, 2, 3]), [10.0, 20.0, 30.0 + 1e-9], [-1.0, 0.0, 1.0]) == TABLE
    assert table_hash([1, 2, 3], [10.0, 20.0, 30.001], [-1.0, 0.0, 1.0]) != TABLE
    assert table_hash([1, 2], [10.0, 20.0], [-1.0, 0.0]) != TABLE


def test_what_is_read(read):
    file = read(HEAD + row(1, "cluster") + row(3, "unsure", comment='\'\'=a ""b""') + row(2, "", comment=" faint "))
    assert file.voter == "Anna"
    assert file.verdicts == {1: "cluster", 3: "unsure"}
    assert file.comments == {3: '\'=a "b"', 2: "faint"}
    semicolons = "\ufeffvoter;table;candidate;verdict\r\nAnna;" + TABLE + ";2;not\r\n"
    assert read(semicolons).verdicts == {2: "not"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"anna\.csv is empty; export the verdicts again"),
        ("\n\n", "is empty"),
        (HEAD, "has no verdicts"),
        ("a,b\n1,2\n", r"has no column voter; verdicts have voter, table, candidate, verdict"),
        (HEAD + row(1, "cluster") + row(9, "not"), r"line 3: there is no candidate '9' in this scan"),
        (HEAD + row("x", "not"), "there is no candidate 'x'"),
        (HEAD + row("٣", "not"), "there is no candidate"),
        (HEAD + row(1, "not", table="sha256:0"), r"line 2 is of the candidates 'sha256:0', the workdir has"),
        (HEAD + row(1, "yes"), r"line 2: verdict 'yes' is unknown; use one of cluster, not, unsure"),
        (HEAD + row(1, "not") + row(1, "not"), "line 3: candidate 1 is there twice"),
        (HEAD + row(1, "not") + row(2, "not", voter="Ben"), "line 3 is by 'Ben', those before by 'Anna'"),
        (HEAD + row(1, "not", voter="  "), "line 2: voter is empty"),
        (HEAD.encode() + b"\xff\xfe\n", "is no CSV file"),
        (HEAD + '"Anna","x"y,1\n', "is no CSV file"),
    ],
)
def test_what_is_wrong_is_one_line(read, text, message):
    with pytest.raises(InputError, match=message) as raised:
        read(text)
    assert "\n" not in str(raised.value)


def test_files_of_several(read, tmp_path):
    files = [read(HEAD + row(1, "cluster"), "a.csv"), read(HEAD + row(2, "not"), "b.csv")]
    with pytest.raises(InputError, match=r"a\.csv and .*b\.csv are both by 'Anna'"):
        check_voters(files)
    with pytest.raises(InputError, match=r"c\.csv does not exist"):
        read_verdicts(tmp_path / "c.csv", table=TABLE, candidates=[1])
    with pytest.raises(InputError, match="nobody said cluster or not of any candidate"):
        as_votes([read(HEAD + row(1, "unsure"))])


def test_votes_count_by_hand(read):
    """Anna and Ben against Cara on 1 and 2; Cara alone on 3; nobody's doubt is a vote."""
    said = {"Anna": ("cluster", "not", "unsure"), "Ben": ("cluster", "not", ""), "Cara": ("not", "not", "cluster")}
    files = [
        read(HEAD + "".join(row(i + 1, word, voter=voter, comment="x") for i, word in enumerate(words)), f"{voter}.csv")
        for voter, words in said.items()
    ]
    votes = as_votes(files)
    assert votes.subjects == ("1", "2", "3")
    weight = 2 / 3  # of Cara's three votes two agree with the majority: hers on 3 is the majority
    np.testing.assert_allclose(class_scores(votes), [[2, weight], [0, 2 + weight], [weight, 0]])
    assert is_cluster(votes).tolist() == [True, False, True]


@given(st.text(max_size=20))
def test_the_guard_comes_off(text):
    """What the page's rule puts before a text, this takes off; without it nothing is changed but a guarded text."""
    needs = text.lstrip("'")[:1] in tuple("=+-@\t\r") and bool(text.lstrip("'"))
    guarded = "'" + text if needs else text
    assert unguarded(guarded) == text
    assert guarded[:1] not in tuple("=+-@\t\r") or not guarded


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([*HEAD, '"', ",", "\n", "\r", ";", "\0", "\ufeff", *row(1, "not")]), max_size=80)
        .map(lambda letters: (HEAD + "".join(letters)).encode()),
    )
)  # fmt: skip
def test_any_bytes_are_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "any.csv"
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            assert set(read_verdicts(path, table=TABLE, candidates=[1, 2, 3]).verdicts) <= {1, 2, 3}
