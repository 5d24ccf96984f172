"""Signed notes, checkpoints and cosignatures: published examples, one spelling, one reason per damage."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.log.signers import LOG_KEY, LOG_VKEY, ORIGIN, cosigned, key_of, policy, root, signed, witness_vkey
from tests.verifier.test_ed25519 import TORSION, pack
from verifier.errors import BadLog, Reason, VerificationError
from verifier.log.checkpoint import open_checkpoint, open_signed, parse_checkpoint, with_signatures
from verifier.log.note import (
    COSIGNATURE_V1,
    ED25519,
    NOTE_BYTES_MAX,
    SIGNATURES_MAX,
    VKEY_CHARACTERS_MAX,
    Signature,
    VerifierKey,
    cosigned_at,
    format_note,
    is_name,
    parse_note,
    parse_vkey,
    verified,
)
from verifier.log.tree import EMPTY_ROOT

# c2sp.org/signed-note, its two examples.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n— quasimodo.example/"
    "salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
).encode()
# c2sp.org/tlog-cosignature: a checkpoint, cosigned; the keys are not published.
BEHIND_THE_SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeM"
    "cTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+"
    "mbIUBkBIfZ+qnA==\n"
).encode()
# A checkpoint of the Go project's checksum database, with its key: github.com/FiloSottile/torchwood @ 341dc2f.
SUMDB_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB = (
    "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n"
    "— sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n"
).encode()
# A checkpoint of a Certificate Transparency test log, cosigned by public witnesses.
ARCHE_WITNESS = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
ARCHE = (
    "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n"
    "— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIg"
    "IpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n"
    "— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei5"
    "9RA23oHP7Ry1k3ZFWwQ=\n"
    "— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4Asc"
    "ylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n"
    "— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0Dr"
    "AWfBw==\n"
).encode()
GOOD = cosigned(signed(7, root("seven")), "w1", "w2")


def test_the_specification_s_example_verifies() -> None:
    key = parse_vkey(EXAMPLE_KEY, ED25519)
    assert (key.name, key.vkey) == ("example.com/foo", EXAMPLE_KEY)
    note = parse_note(EXAMPLE)
    assert note.text == "This is an example message.\n"
    assert verified(note, [key], Reason.LOG_SIGNATURE) == ((key, note.signatures[0]),)
    changed = parse_note(EXAMPLE.replace(b"an example", b"no example"))
    with pytest.raises(BadLog):
        verified(changed, [key], Reason.LOG_SIGNATURE)


@pytest.mark.parametrize("data", [EXAMPLE, POEM, BEHIND_THE_SOFA, SUMDB, ARCHE, GOOD])
def test_published_notes_have_one_spelling(data: bytes) -> None:
    assert format_note(parse_note(data)) == data


def test_a_note_may_have_as_many_signatures_as_every_reader_takes() -> None:
    assert len(parse_note(b"text\n\n" + SIGNATURE.encode() * SIGNATURES_MAX).signatures) == SIGNATURES_MAX


def test_a_note_s_text_may_hold_empty_lines() -> None:
    assert parse_note(POEM).text.count("\n\n") == 1
    with pytest.raises(VerificationError, match="origin, size and root"):
        parse_checkpoint(POEM)


def test_published_checkpoints() -> None:
    checkpoint, note = parse_checkpoint(BEHIND_THE_SOFA)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == note.text
    assert [cosigned_at(signature) for signature in note.signatures] == [None, 1679315147]
    key = parse_vkey(SUMDB_KEY, ED25519)
    checkpoint, note = parse_checkpoint(SUMDB)
    assert (checkpoint.origin, checkpoint.size) == ("go.sum database tree", 35225469)
    assert verified(note, [key], Reason.LOG_SIGNATURE)


def test_a_public_witness_s_cosignature() -> None:
    checkpoint, note = parse_checkpoint(ARCHE)
    key = parse_vkey(ARCHE_WITNESS, COSIGNATURE_V1)
    [(_, signature)] = verified(note, [key], Reason.COSIGNATURE)
    assert (checkpoint.size, cosigned_at(signature)) == (1432088532, 0x6A122120)
    changed = parse_note(ARCHE.replace(b"\n1432088532\n", b"\n1432088533\n"))
    with pytest.raises(BadLog) as caught:
        verified(changed, [key], Reason.COSIGNATURE)
    assert caught.value.reason is Reason.COSIGNATURE


def test_a_cosignature_without_a_time_is_none() -> None:
    """Even one over the words that a missing time would be written with."""
    key = parse_vkey(witness_vkey("w1"), COSIGNATURE_V1)
    text = parse_note(GOOD).text

    def signature(time: int, said: object) -> Signature:
        made = key_of("w1").sign(f"cosignature/v1\ntime {said}\n{text}".encode())
        return Signature(key.name, key.key_id, time.to_bytes(8, "big") + made)

    assert [key.verifies(text, signature(time, said)) for time, said in ((1, 1), (0, 0), (0, None))] == [
        True,
        False,
        False,
    ]
    assert (cosigned_at(signature(1, 1)), cosigned_at(signature(0, 0))) == (1, None)


def test_what_we_sign_another_library_verifies() -> None:
    note = parse_note(signed(7, root("seven")))
    library = Ed25519PublicKey.from_public_bytes(LOG_VKEY.key)
    library.verify(note.signatures[0].value, note.text.encode())
    assert note.signatures[0].key_id == LOG_VKEY.key_id
    assert signed(7, root("seven")) == signed(7, root("seven"))


def test_a_quorum_is_counted_by_witness() -> None:
    twice = cosigned(cosigned(GOOD, "w1", time=5), "w1", time=1_800_000_000)
    assert dict(open_checkpoint(twice, policy("w1", "w2", k=2)).witnesses) == {"w1": 1_800_000_000, "w2": 1_700_000_000}
    assert open_checkpoint(GOOD, policy()).witnesses == ()
    assert open_checkpoint(GOOD, policy("w1", "w3", k=1)).witnesses == (("w1", 1_700_000_000),)
    only_one = cosigned(cosigned(signed(7, root("seven")), "w1", time=4), "w1", time=5)
    with pytest.raises(BadLog) as caught:
        open_checkpoint(only_one, policy("w1", "w2", k=2))
    assert caught.value.reason is Reason.WITNESS_QUORUM
    assert "all-of-them (2 of w1, w2), got w1" in str(caught.value)


def test_signatures_by_others_are_ignored() -> None:
    parsed = parse_note(GOOD)
    stranger = cosigned(signed(7, root("seven")), "stranger").decode().splitlines()[-1]
    same_name = stranger.replace("— stranger ", "— w1 ")  # another key id
    garbage = "— nobody " + base64.b64encode(b"1234" + bytes(99)).decode()
    data = with_signatures(parsed, [stranger, same_name, garbage])
    assert [name for name, _ in open_checkpoint(data, policy("w1", "w2", k=2)).witnesses] == ["w1", "w2"]


def changed_line(line: int, change: Callable[[bytes], bytes]) -> bytes:
    """GOOD with one byte string of a signature line changed: 0 the log's, 1 and 2 the witnesses'."""
    lines = GOOD.decode().split("\n")
    head, _, value = lines[4 + line].rpartition(" ")
    lines[4 + line] = f"{head} {base64.b64encode(change(base64.b64decode(value))).decode()}"
    return "\n".join(lines).encode()


def flip(place: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.negative
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (signed(7, root("seven"), origin="example.com/other"), Reason.LOG_ORIGIN),
        (signed(7, root("seven"), key=key_of("thief")), Reason.LOG_SIGNATURE),
        (changed_line(0, flip(4)), Reason.LOG_SIGNATURE),
        (changed_line(0, flip(67)), Reason.LOG_SIGNATURE),
        (changed_line(0, lambda value: value + b"\0"), Reason.LOG_SIGNATURE),
        (changed_line(0, lambda value: value[:-1]), Reason.LOG_SIGNATURE),
        (changed_line(0, flip(0)), Reason.LOG_SIGNATURE),  # another key id: nobody's, so nothing is left
        (GOOD.replace(b"\n7\n", b"\n8\n"), Reason.LOG_SIGNATURE),
        (changed_line(1, flip(11)), Reason.COSIGNATURE),  # the time
        (changed_line(1, flip(12)), Reason.COSIGNATURE),
        (changed_line(2, lambda value: value[:4] + bytes(8) + value[12:]), Reason.COSIGNATURE),
        (changed_line(2, lambda value: value[:4] + b"\x80" + value[5:]), Reason.COSIGNATURE),
        (changed_line(2, lambda value: value[:4] + value[12:]), Reason.COSIGNATURE),
        (changed_line(1, flip(0)), Reason.WITNESS_QUORUM),
        (cosigned(signed(7, root("seven")), "w1", "w3"), Reason.WITNESS_QUORUM),
    ],
)
def test_one_reason_per_damage(data: bytes, reason: Reason) -> None:
    with pytest.raises(BadLog) as caught:
        open_checkpoint(data, policy("w1", "w2", k=2))
    assert caught.value.reason is reason


@pytest.mark.negative
def test_names_of_strangers_do_not_write_on_the_terminal() -> None:
    """U+009B begins a command of a terminal, and is no blank."""
    line = "— \u009b2J " + base64.b64encode(b"1234" + bytes(64)).decode()
    data = f"{parse_note(GOOD).text}\n{line}\n".encode()
    with pytest.raises(BadLog) as caught:
        open_signed(data, [LOG_VKEY])
    assert caught.value.reason is Reason.LOG_SIGNATURE
    assert str(caught.value).isprintable()


@pytest.mark.negative
@pytest.mark.parametrize("time", [0, 2**63])
def test_times_that_are_none(time: int) -> None:
    """Signed as it should be: only the time is impossible."""
    with pytest.raises(BadLog) as caught:
        open_checkpoint(cosigned(signed(7, root("seven")), "w1", time=time), policy("w1", k=1))
    assert caught.value.reason is Reason.COSIGNATURE


SIGNATURE = "— a " + base64.b64encode(b"1234" + bytes(64)).decode() + "\n"


@pytest.mark.negative
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"text\n", Reason.MALFORMED),
        (b"text\n\n", Reason.MALFORMED),
        (b"\n\n" + SIGNATURE.encode(), Reason.MALFORMED),
        (b"text\n\n" + SIGNATURE.encode().rstrip(), Reason.MALFORMED),
        (b"text\n\n" + SIGNATURE.encode() + b"\n", Reason.MALFORMED),
        (b"text\r\n\n" + SIGNATURE.encode(), Reason.MALFORMED),
        (b"te\txt\n\n" + SIGNATURE.encode(), Reason.MALFORMED),
        (b"text\xff\n\n" + SIGNATURE.encode(), Reason.MALFORMED),
        (b"text\n\n" + SIGNATURE.encode().replace(b"a", b"a+b", 1), Reason.MALFORMED),
        (b"text\n\n" + SIGNATURE.replace("a", "a\u00a0b", 1).encode(), Reason.MALFORMED),
        (b"text\n\n" + SIGNATURE.replace("— a", "—  a").encode(), Reason.MALFORMED),
        (b"text\n\n" + SIGNATURE.replace("—", "-").encode(), Reason.MALFORMED),
        (b"text\n\n" + SIGNATURE.replace(" ", "  ").encode(), Reason.MALFORMED),
        ("text\n\n— a MTIzNA==\n".encode(), Reason.MALFORMED),  # a key id and nothing behind it
        (b"text\n\n" + SIGNATURE.replace("AAA=", "AAB=").encode(), Reason.NON_CANONICAL),
        (b"text\n\n" + SIGNATURE.replace("AAA=", "AAA==").encode(), Reason.NON_CANONICAL),
        (b"text\n\n" + SIGNATURE.encode() * (SIGNATURES_MAX + 1), Reason.MALFORMED),
        (b"t" * NOTE_BYTES_MAX + b"\n\n" + SIGNATURE.encode(), Reason.FILE_TOO_LARGE),
    ],
)
def test_notes_of_another_form_are_refused(data: bytes, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_note(data)
    assert caught.value.reason is reason


ROOT = base64.b64encode(root("seven")).decode()
EMPTY = base64.b64encode(EMPTY_ROOT).decode()


@pytest.mark.negative
@pytest.mark.parametrize(
    "text",
    [
        "origin\n7\n",
        f"\n7\n{ROOT}\n",
        f"origin\n07\n{ROOT}\n",
        f"origin\n-7\n{ROOT}\n",
        f"origin\n+7\n{ROOT}\n",
        f"origin\n 7\n{ROOT}\n",
        f"origin\n7.0\n{ROOT}\n",
        f"origin\n\u0667\n{ROOT}\n",  # a digit, but not ASCII
        f"origin\n{2**63}\n{ROOT}\n",
        f"origin\n3438945738945739845734895735\n{ROOT}\n",
        f"origin\nbananas\n{ROOT}\n",
        f"origin\n7\n{ROOT[:-4]}\n",
        f"origin\n7\n{ROOT} \n",
        "origin\n7\nThisIsn'tBase64\n",
        "origin\n7\nYmFuYW5hcw==\n",
        f"origin\n7\n{ROOT}\n\nextension\n",
    ],
)
def test_texts_that_are_no_tree_heads(text: str) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_checkpoint(f"{text}\n{SIGNATURE}".encode())
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.negative
def test_an_empty_tree_has_one_root() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_checkpoint(f"origin\n0\n{ROOT}\n\n{SIGNATURE}".encode())
    assert caught.value.reason is Reason.LOG_CONSISTENCY


def test_extension_lines_are_kept_and_signed() -> None:
    checkpoint, _ = parse_checkpoint(f"origin\n0\n{EMPTY}\none\ntwo\n\n{SIGNATURE}".encode())
    assert checkpoint.extensions == ("one", "two")
    assert checkpoint.text == f"origin\n0\n{EMPTY}\none\ntwo\n"


@pytest.mark.negative
@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo+530d903a",
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("530d903a", "530D903A"),
        EXAMPLE_KEY.replace("example", "ex ample"),
        EXAMPLE_KEY + "=",
        EXAMPLE_KEY[:-4],
        "rekor.sigstore.dev+12345678+AwEB",
        witness_vkey("w1"),  # a witness's key is no log's
        "a+00000000+" + base64.b64encode(b"\x01" + bytes(32)).decode(),
        "a" * 2000,
        EXAMPLE_KEY.replace("example", "ex\udcffample"),
    ],
)
def test_keys_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(BadLog) as caught:
        parse_vkey(text, ED25519)
    assert caught.value.reason is Reason.LOG_POLICY


@pytest.mark.negative
@pytest.mark.parametrize("name", ["a b", "a\tb", "a\u00a0b", "a\u2028b", "a\x01b", "a\x1bb"])
def test_names_with_blanks_and_control_characters_are_refused_whatever_their_id(name: str) -> None:
    with pytest.raises(BadLog) as caught:
        parse_vkey(VerifierKey(name, ED25519, LOG_VKEY.key).vkey, ED25519)
    assert caught.value.reason is Reason.LOG_POLICY
    assert not any(map(is_name, (name, "", "a+b", "\ud800", "\udfff")))
    assert is_name("\ud7ff\ue000")


@pytest.mark.negative
def test_a_key_s_text_has_a_greatest_length() -> None:
    longest = VKEY_CHARACTERS_MAX - len(LOG_VKEY.vkey) + len(ORIGIN)
    key = VerifierKey("a" * longest, ED25519, LOG_VKEY.key)
    assert parse_vkey(key.vkey, ED25519) == key
    with pytest.raises(BadLog) as caught:
        parse_vkey(VerifierKey("a" * (longest + 1), ED25519, LOG_VKEY.key).vkey, ED25519)
    assert caught.value.reason is Reason.LOG_POLICY


@pytest.mark.negative
@pytest.mark.parametrize("point", [pack(point) for point in TORSION])
def test_keys_of_small_order_are_refused_whatever_their_id(point: bytes) -> None:
    with pytest.raises(BadLog) as caught:
        parse_vkey(VerifierKey("a", ED25519, point).vkey, ED25519)
    assert caught.value.reason is Reason.LOG_POLICY


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_no_changed_byte_is_taken(place: int, value: int) -> None:
    changed = GOOD[:place] + bytes([value]) + GOOD[place + 1 :]
    if changed == GOOD:
        return
    # A line that names another key is nobody's: with one witness asked for, losing the other one is no damage.
    try:
        opened = open_signed(changed, [LOG_VKEY])
    except VerificationError:
        return
    assert opened.checkpoint.text == parse_note(GOOD).text
    with pytest.raises(VerificationError):
        open_checkpoint(changed, policy("w1", "w2", k=2))


@given(st.binary(max_size=200))
def test_garbage_is_refused_in_the_verifier_s_own_words(data: bytes) -> None:
    with pytest.raises(VerificationError):
        open_checkpoint(data, policy("w1", k=1))
    with pytest.raises(VerificationError):
        open_checkpoint(GOOD[: len(GOOD) // 2] + data, policy("w1", "w2", k=2))


def test_origin_is_the_key_s_name() -> None:
    other = signed(7, root("seven"), origin="example.com/other", key=LOG_KEY)
    with pytest.raises(BadLog) as caught:
        open_signed(other, [LOG_VKEY])
    assert caught.value.reason is Reason.LOG_ORIGIN
    assert ORIGIN in str(caught.value)
