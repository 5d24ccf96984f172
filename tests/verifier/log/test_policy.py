"""Policies: groups, quorums, and lines that are none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.notes import log_key
from tests.verifier.log.signers import LOG_VKEY, key_of, policy_text, witness_vkey
from verifier.errors import Reason, VerificationError
from verifier.log.note import COSIGNATURE_V1, VerifierKey
from verifier.log.policy import NAMES_MAX, POLICY_BYTES_MAX, parse_policy

X1, X2, X3, Y1, Y2, Y3 = (f"witness {name} {witness_vkey(name)}" for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3"))
# The example of c2sp.org/tlog-policy, with keys.
EXAMPLE = f"""log {LOG_VKEY.vkey}

{X1}
{X2}
{X3} https://x3.example/
group X-witnesses 2 X1 X2 X3

# the other organisation
{Y1}
\t {Y2}  \t
{Y3}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def test_the_specification_s_example() -> None:
    policy = parse_policy(EXAMPLE.encode())
    assert policy.logs == (LOG_VKEY,)
    assert [witness.url for witness in policy.witnesses] == [None, None, "https://x3.example/", None, None, None]
    names = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
    for chosen in chain.from_iterable(combinations(names, k) for k in range(7)):
        expected = sum(name[0] == "X" for name in chosen) >= 2 and any(name[0] == "Y" for name in chosen)
        assert policy.is_met(chosen) is expected
    assert policy.spoken == "X-and-Y (2 of X-witnesses, Y-witnesses)"


def test_quorums_of_one_and_of_none() -> None:
    one = parse_policy(f"{X1}\nquorum X1\n".encode())
    assert (one.is_met(["X1"]), one.is_met(["X2"]), one.is_met([]), one.spoken) == (True, False, False, "X1")
    assert parse_policy(b"quorum none\n").is_met([])


@given(st.integers(1, 7), st.data())
def test_k_of_n(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    names = [f"w{i}" for i in range(n)]
    policy = parse_policy(policy_text(*names, k=k).encode())
    cosigned = data.draw(st.sets(st.sampled_from([*names, "stranger"])))
    assert policy.is_met(cosigned) is (len(cosigned - {"stranger"}) >= k)


MIXED_ORDER = VerifierKey("X9", COSIGNATURE_V1, bytes.fromhex("01" + "00" * 31)).vkey


@pytest.mark.negative
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "a quorum line"),
        (f"{X1}\n", "a quorum line"),
        ("quorum none\nquorum none\n", "one quorum"),
        ("quorum\n", "one quorum"),
        ("quorum X1 X2\n", "one quorum"),
        (f"quorum X1\n{X1}\n", "of a line above"),
        (f"{X1}\n{X1.replace(' X1 ', ' X2 ')}\nquorum X1\n", "a public key of its own"),
        (f"{X1}\n{X2.replace(' X2 ', ' X1 ')}\nquorum X1\n", "a name of its own"),
        (f"{X1.replace(' X1 ', ' none ')}\nquorum none\n", "a name of its own"),
        (f"log {LOG_VKEY.vkey}\nlog {LOG_VKEY.vkey}\nquorum none\n", "a public key of its own"),
        (
            f"log {LOG_VKEY.vkey}\nwitness w {VerifierKey('w', COSIGNATURE_V1, LOG_VKEY.key).vkey}\nquorum w\n",
            "a public key of its own",
        ),
        (f"log {witness_vkey('X1')}\nquorum none\n", "signature type 1"),
        (f"witness w {LOG_VKEY.vkey}\nquorum w\n", "signature type 4"),
        (f"witness w {MIXED_ORDER}\nquorum w\n", "signature type 4"),
        (f"log {LOG_VKEY.vkey} url more\nquorum none\n", "log, a key, and a URL"),
        ("log\nquorum none\n", "log, a key, and a URL"),
        (f"{X1} url more\nquorum X1\n", "witness, a name, a key"),
        ("witness X1\nquorum none\n", "witness, a name, a key"),
        ("group g 1\nquorum none\n", "and members"),
        (f"{X1}\ngroup g 0 X1\nquorum g\n", "all, any or a number"),
        (f"{X1}\ngroup g 01 X1\nquorum g\n", "all, any or a number"),
        (f"{X1}\ngroup g some X1\nquorum g\n", "all, any or a number"),
        (f"{X1}\ngroup g 2 X1\nquorum g\n", "at most 1"),
        (f"{X1}\ngroup g 1 X1 X1\nquorum g\n", "in one group"),
        (f"{X1}\ngroup g 1 X1\ngroup h 1 X1\nquorum g\n", "in one group"),
        (f"{X1}\ngroup g 1 g\nquorum g\n", "of a line above"),
        (f"{X1}\ngroup g 1 none\nquorum g\n", "of a line above"),
        (f"{X1}\ngroup X1 1 X1\nquorum X1\n", "a name of its own"),
        (f"{X1}\n{X2}\ngroup g 1 X1\ngroup g 1 X2\nquorum g\n", "a name of its own"),
        ("witnes X1\nquorum none\n", "log, witness, group or quorum"),
        ("quorum none\r\n", "no control characters"),
        ("quorum none\n\x7f", "no control characters"),
        (f"quorum none\n{X1}\ngroup g 1 X1\ngroup h 1 q\n", "line above"),
    ],
)
def test_refused_lines(text: str, what: str) -> None:
    with pytest.raises(VerificationError, match=what) as caught:
        parse_policy(text.encode())
    assert caught.value.reason is Reason.LOG_POLICY


@pytest.mark.negative
def test_large_and_strange_files_are_refused() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_policy(b"#" * (POLICY_BYTES_MAX + 1))
    assert caught.value.reason is Reason.FILE_TOO_LARGE
    with pytest.raises(VerificationError, match="UTF-8"):
        parse_policy(b"# \xff\nquorum none\n")


@pytest.mark.negative
@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("", lambda i: f"log {log_key(f'log{i}', key_of(f'log{i}')).vkey}"),
        ("", lambda i: f"witness w{i} {witness_vkey(f'w{i}')}"),
        (f"witness g0 {witness_vkey('g0')}\n", lambda i: f"group g{i + 1} 1 g{i}"),
    ],
)
def test_so_many_of_a_kind(before: str, line: Callable[[int], str]) -> None:
    lines = [line(i) + "\n" for i in range(NAMES_MAX + 1)]
    parse_policy(f"{before}{''.join(lines[:-1])}quorum none\n".encode())
    with pytest.raises(VerificationError, match=f"at most {NAMES_MAX}"):
        parse_policy(f"{before}{''.join(lines)}quorum none\n".encode())


@given(st.binary(max_size=60))
def test_garbage_is_refused_in_the_verifier_s_own_words(data: bytes) -> None:
    try:
        parse_policy(data + b"\nquorum none\n")
    except VerificationError as error:
        assert error.reason is Reason.LOG_POLICY
