"""The whole check of an address list: each address by itself, and then what is left is added up.

In this order, and the first thing wrong is the reason: the address decodes; no other row has it; its block is the
challenge's; it was challenged; the message is its challenge; no other address shows this signature; the signature is
good; the balance is what the source says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from api.reserves import bitcoin, edwards, evm
from api.reserves.balances import BalanceSource
from api.reserves.challenge import Block, Challenge, Challenges
from api.reserves.files import Row, shown_units
from api.reserves.networks import BITCOIN, EDWARDS, EVM, Address, decode_address
from api.reserves.results import Outcome, Status, Undecodable, failed, inconclusive
from prover.progress import Progress


@dataclass(frozen=True, slots=True)
class Result:
    """One row and what came out. `address` is None where it does not decode."""

    row: Row
    address: Address | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Part:
    """What the verified addresses of one asset hold on one network at its block, in 10^-DECIMALS units."""

    block: Block
    amount: int
    addresses: int


@dataclass(frozen=True, slots=True)
class Report:
    """All results in the file's order, and per asset (sorted) the parts of its total (sorted by network)."""

    challenges: Challenges
    results: tuple[Result, ...]
    source: str
    totals: Mapping[str, tuple[Part, ...]]

    @property
    def accepted(self) -> bool:
        """No address failed."""
        return not self.of(Status.FAILED)

    def of(self, status: Status) -> list[Result]:
        """The results with this status."""
        return [result for result in self.results if result.outcome.status == status]


def total(parts: Iterable[Part]) -> int:
    """The sum over networks, in 10^-DECIMALS units."""
    return sum(part.amount for part in parts)


def total_data(parts: Sequence[Part]) -> dict[str, object]:
    """One asset's total and its parts, as JSON."""
    return {
        "amount": shown_units(total(parts)),
        "parts": [
            {
                "network": part.block.network.name,
                "height": part.block.height,
                "hash": part.block.hash,
                "amount": shown_units(part.amount),
                "addresses": part.addresses,
            }
            for part in parts
        ],
    }


def verify_rows(
    rows: Sequence[Row], challenges: Challenges, source: BalanceSource, progress: Progress | None = None
) -> Report:
    """Check every row.

    Args:
        progress: is told the phase ("signatures", "balances") and the fraction of it that is done.

    Raises:
        InputError: the balance source cannot be used. Whatever is wrong with a row is in its result.
    """
    checker, results = _Checker(challenges), []
    tell = progress or (lambda phase, fraction: None)
    for done, row in enumerate(rows, start=1):
        results.append(checker.check(row))
        tell("signatures", done / len(rows))
    tell("balances", 0)
    results = _with_balances(results, checker.blocks, source)
    tell("balances", 1)
    return Report(challenges, tuple(results), source.name, _totals(results, checker.blocks))


class _Checker:
    """Rows one by one; what earlier rows showed is remembered, so that nothing is shown twice."""

    def __init__(self, challenges: Challenges) -> None:
        self.blocks = {block.network.name: block for block in challenges.blocks}
        self._challenges = {
            (challenge.block.network.name, challenge.address.key): challenge for challenge in challenges.all()
        }
        self._seen: dict[tuple[str, str, bytes], int] = {}
        self._signed: dict[bytes, tuple[int, str, bytes]] = {}

    def check(self, row: Row) -> Result:
        try:
            address = decode_address(row.network, row.address, staked=bool(row.staked))
        except Undecodable as error:
            return Result(row, None, failed(f"the address does not decode, expected {error}"))
        return Result(row, address, self._check(row, address))

    def _check(self, row: Row, address: Address) -> Outcome:
        name = row.network.name
        first = self._seen.setdefault((row.asset, name, address.key), row.line)
        if first != row.line:
            return failed(f"the address stands on line {first} already with the same asset")
        block = self.blocks.get(name)
        if block is None:
            return failed(f"no block of {name} is in the challenges")
        if row.height != block.height:
            return failed(f"the balance is of height {row.height}, expected {block.height}, as in the challenges")
        challenge = self._challenges.get((name, address.key))
        if challenge is None:
            return failed("the address is not among the challenges")
        difference = challenge.differs(row.message)
        if difference:
            return failed(difference)
        return self._check_signatures(row, address, challenge)

    def _check_signatures(self, row: Row, address: Address, challenge: Challenge) -> Outcome:
        if not row.signatures:
            return failed("no signature")
        try:
            signatures = [decode_signature(row, text) for text in row.signatures]
        except Undecodable as error:
            return failed(f"the signature does not decode, expected {error}")
        for raw in signatures:
            line, *owner = self._signed.setdefault(raw, (row.line, row.network.name, address.key))
            if owner != [row.network.name, address.key]:
                return failed(f"the signature stands on line {line} already for another address")
        if row.staked:
            return inconclusive(f"{row.staked}: whose keys speak for it, only a node of the beacon chain knows")
        return _check_family(row, address, challenge, signatures[0])


def decode_signature(row: Row, text: str) -> bytes:
    """A signature's bytes, by the row's network.

    Raises:
        Undecodable: it has another form.
    """
    decoders = {BITCOIN: bitcoin.decode_signature, EVM: evm.decode_signature, EDWARDS: edwards.decode_signature}
    decode = decoders.get(row.network.family)
    return text.encode() if decode is None else decode(text)


def _check_family(row: Row, address: Address, challenge: Challenge, signature: bytes) -> Outcome:
    try:
        if row.network.family == BITCOIN:
            if row.asset != row.network.native:
                return inconclusive(f"what {row.network.name} itself counts is {row.network.native} only")
            if len(row.signatures) > 1:
                return inconclusive("several signatures under one script, expected one BIP-322 signature")
            return bitcoin.check(address.text, challenge.text.encode(), row.signatures[0])
        if row.network.family == EVM:
            owners = tuple(decode_address(row.network, owner).key for owner in row.owners)
            if len(row.signatures) > 1 and not owners:
                return inconclusive("several signatures: a contract's, for which a node has to be asked", evm.ERC_1271)
            return evm.check(address.key, challenge.text, challenge.typed_data, signature, owners)
        if row.network.family == EDWARDS:
            key = edwards.decode_key(row.public_key) if row.public_key else None
            return edwards.check(row.network.name, address.key, challenge.text.encode(), signature, key)
    except Undecodable as error:
        return failed(f"an owner or public key does not decode, expected {error}")
    return inconclusive(f"no check is known here for signatures of {row.network.name}")


def _with_balances(results: Sequence[Result], blocks: Mapping[str, Block], source: BalanceSource) -> list[Result]:
    """The same, where a source that does not know a balance, or knows another one, decides."""
    out = list(results)
    for name, block in blocks.items():
        signed = [
            (i, result.row, result.address)
            for i, result in enumerate(results)
            if result.outcome.status == Status.VERIFIED and result.row.network.name == name and result.address
        ]
        if not signed:
            continue
        known = source.balances(block, [(row, address) for _, row, address in signed])
        for (i, row, _), amount in zip(signed, known, strict=True):
            scheme = results[i].outcome.scheme
            if amount is None:
                outcome = inconclusive(f"signed, but the source of balances ({source.name}) does not know it", scheme)
                out[i] = replace(results[i], outcome=outcome)
            elif amount != row.amount:
                got, expected = shown_units(row.amount), shown_units(amount)
                outcome = failed(
                    f"signed, but the balance is {got}, expected {expected} as the {source.name} has it", scheme
                )
                out[i] = replace(results[i], outcome=outcome)
    return out


def _totals(results: Iterable[Result], blocks: Mapping[str, Block]) -> dict[str, tuple[Part, ...]]:
    """Sums over verified addresses only."""
    sums: dict[tuple[str, str], list[int]] = {}
    for result in results:
        if result.outcome.status == Status.VERIFIED:
            sums.setdefault((result.row.asset, result.row.network.name), []).append(result.row.amount)
    totals: dict[str, tuple[Part, ...]] = {}
    for (asset, name), amounts in sorted(sums.items()):
        totals[asset] = (*totals.get(asset, ()), Part(blocks[name], sum(amounts), len(amounts)))
    return totals
