"""`xsocket lab up|list|exec|clean`: labs that outlive a command, and the rest of those that ended badly."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from xsocket_netns import entry, holder, registry, removal

if TYPE_CHECKING:
    from xsocket_netns import Lab
    from xsocket_netns.registry import LabRecord

_LARGEST = 200  # hosts; their addresses are 10.0.0.1 to 10.0.0.200


@click.group()
def lab() -> None:
    """Make, list, enter and remove labs: hosts in network namespaces, joined by links."""


@lab.command()
@click.option("--hosts", default="client,server", show_default=True, help="Names, separated by commas.")
@click.option("--name", help="What to call the lab; made up when left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the lab as JSON.")
def up(hosts: str, name: str | None, as_json: bool) -> None:
    """Make a lab that stays until `xsocket lab clean`.

    Two hosts are joined by a link, more by a bridge. Host number N gets 10.0.0.N/24 and fd00::N/64.
    """
    names = [host.strip() for host in hosts.split(",")]
    if len(names) > _LARGEST:
        raise click.BadParameter(f"at most {_LARGEST} hosts", param_hint="--hosts")
    if len(set(names)) != len(names):
        raise click.BadParameter("a name occurs twice", param_hint="--hosts")
    record = holder.keep(name, lambda made: _build(made, names))
    if as_json:
        click.echo(json.dumps(_description(record), indent=2))
        return
    _print_hosts(record)
    click.echo(f"Enter it:  xsocket lab exec {record.name} {names[0]} -- COMMAND...")
    click.echo(f"Remove it: xsocket lab clean {record.name}")


def _build(made: Lab, names: list[str]) -> None:
    hosts = [made.host(name) for name in names]
    addresses = [[f"10.0.0.{number}/24", f"fd00::{number}/64"] for number in range(1, len(names) + 1)]
    if len(hosts) == 2:
        made.link(*hosts, addresses=(addresses[0], addresses[1]))
    elif len(hosts) > 2:
        made.bridge("lan", hosts, addresses=addresses)


@lab.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the labs as JSON.")
def list_labs(as_json: bool) -> None:
    """List the labs of this user: running, persistent (from `lab up`) and left over."""
    records = registry.records()
    if as_json:
        click.echo(json.dumps([_description(record) for record in records], indent=2))
    elif records:
        _print_labs(records)
    else:
        click.echo("There are no labs.")


@lab.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", metavar="LAB")
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in HOST of LAB; its exit status is the result."""
    program = command[1:] if command[0] == "--" else command
    if not program:
        raise click.UsageError("Missing the command to run after --.")
    entry.become(registry.LabRecord.load(name), host, program)


@lab.command()
@click.argument("names", metavar="[LAB]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also labs that a running process is using.")
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as JSON.")
def clean(names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Remove labs: persistent ones, and what killed processes left. All of them, or only those named."""
    removed = removal.clean(names, everything=everything)
    if as_json:
        click.echo(json.dumps(asdict(removed), indent=2))
        return
    click.echo(f"Removed {len(removed.labs)} lab(s), {removed.namespaces} namespace(s).")
    if removed.kept:
        click.echo(f"Kept, in use by running processes: {', '.join(removed.kept)} (--all removes them too).")


def _description(record: LabRecord) -> dict[str, Any]:
    """Return what --json says of a lab."""
    return {
        "name": record.name,
        "state": record.state.value,
        "owner": None if record.owner is None else record.owner.pid,
        "user_namespace": record.user_namespace,
        "hosts": [
            {"name": host, "namespace": path, "interfaces": _interfaces_of(record, host)}
            for host, path in record.hosts.items()
        ],
    }


def _interfaces_of(record: LabRecord, host: str) -> list[dict[str, Any]]:
    return [
        {"name": end.interface, "mac": end.mac, "addresses": list(end.addresses)}
        for ends in record.links
        for end in ends
        if end.host == host
    ]


def _print_hosts(record: LabRecord) -> None:
    from rich import console, table

    view = table.Table(
        "host", "interface", "mac", "addresses", title=f"lab {record.name}", title_justify="left"
    )
    for host in record.hosts:
        for end in _interfaces_of(record, host) or [{"name": "lo", "mac": "", "addresses": []}]:
            view.add_row(host, end["name"], end["mac"], " ".join(end["addresses"]))
    console.Console().print(view)


def _print_labs(records: list[LabRecord]) -> None:
    from rich import console, table

    view = table.Table("lab", "state", "owner", "hosts")
    for record in records:
        owner = "" if record.owner is None else str(record.owner.pid)
        view.add_row(record.name, record.state.value, owner, " ".join(record.hosts))
    console.Console().print(view)
