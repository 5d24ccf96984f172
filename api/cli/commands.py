"""All commands in one place, in the order in which `solvent --help` teaches them."""

from __future__ import annotations

import typer

from api.cli import (
    audit,
    bundles,
    executors,
    imports,
    ledger_snapshot,
    log,
    page,
    prices,
    proving,
    publication,
    publisher,
    publishing,
    reserves,
    serve,
    simulate,
    trials,
    users,
    validator,
    witness,
)  # fmt: skip

EXCHANGE, EVERYBODY, USER = "For the exchange", "For everybody", "For one user"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and ours hold balances
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Prove that an exchange owes no more than it holds, and check such proofs.

An exchange runs [bold]import[/bold], [bold]prove[/bold] and [bold]bundle[/bold], and publishes the directory
that [bold]prove[/bold] wrote. Anybody runs [bold]verify[/bold] on it. A user runs [bold]inclusion[/bold] on their
own bundle: nothing is sent anywhere. To see all of it once: [bold]solvent demo[/bold].

Exit codes: 0 accepted, 1 rejected with a reason, 2 usage or input error. Every command takes --json.""",
)
app.command(rich_help_panel=EVERYBODY)(trials.demo)
app.command(rich_help_panel=EVERYBODY)(publication.verify)
app.command(rich_help_panel=EVERYBODY)(publication.inspect)
app.command(rich_help_panel=EVERYBODY)(trials.version)
app.command(rich_help_panel=EVERYBODY)(page.page)
app.command("check-opening", rich_help_panel=EVERYBODY)(audit.check)
app.command(rich_help_panel=EVERYBODY)(publishing.fetch)
app.add_typer(log.app, name="log", rich_help_panel=EVERYBODY)
app.add_typer(witness.app, name="witness", rich_help_panel=EVERYBODY)
app.command(rich_help_panel=USER)(users.nonce)
app.command(rich_help_panel=USER)(users.receipt)
app.command(rich_help_panel=USER)(users.inclusion)
app.add_typer(imports.app, name="import", rich_help_panel=EXCHANGE)
app.add_typer(prices.app, name="prices", rich_help_panel=EXCHANGE)
app.add_typer(reserves.app, name="reserves", rich_help_panel=EXCHANGE)
app.add_typer(validator.app, name="validator", rich_help_panel=EXCHANGE)
app.command(rich_help_panel=EXCHANGE)(proving.prove)
app.command(rich_help_panel=EXCHANGE)(executors.shard)
app.command(rich_help_panel=EXCHANGE)(users.bundle)
app.command(rich_help_panel=EXCHANGE)(bundles.bundles)
app.command(rich_help_panel=EXCHANGE)(audit.opening)
app.command(rich_help_panel=EXCHANGE)(publishing.publish)
app.add_typer(publisher.app, name="publisher", rich_help_panel=EXCHANGE)
app.command(rich_help_panel=EXCHANGE)(publishing.export)
app.command(rich_help_panel=EXCHANGE)(serve.serve)
app.add_typer(serve.token, name="token", rich_help_panel=EXCHANGE)
app.command(rich_help_panel=EXCHANGE)(trials.bench)
app.command(rich_help_panel=EXCHANGE)(trials.generate)
app.command(rich_help_panel=EXCHANGE)(simulate.simulate)
app.command(rich_help_panel=EXCHANGE)(simulate.replay)
app.command(rich_help_panel=EXCHANGE)(ledger_snapshot.snapshot)
