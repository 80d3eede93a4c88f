"""`xsocket lab up|list|exec|clean`: labs that outlive a command, and the rest of those that ended badly."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xsocket.errors import GuardError
from xsocket.handoff.guard import remove_leftovers
from xsocket_netns import entry, holder, registry, removal
from xsocket_tools.path import carrier
from xsocket_tools.path.command import described, path_options, settings_of
from xsocket_tools.path.live import NAME
from xsocket_tools.path.settings import Settings

if TYPE_CHECKING:
    from xsocket_netns import Host, Lab
    from xsocket_netns.registry import LabRecord

_LARGEST = 200  # hosts; their addresses are 10.0.0.1 to 10.0.0.200


@click.group()
def lab() -> None:
    """Make, list, enter and remove labs: hosts in network namespaces, joined by links."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What `lab up` was asked for.

    Attributes:
        names: Of the hosts.
        settings: Of the path between two of them.
        netem: Whether the kernel does what it can of that.
        captures: A directory for captures, or None.
        does: The settings in words.
    """

    names: list[str]
    settings: Settings
    netem: bool
    captures: Path | None
    does: list[str]


@lab.command()
@click.option("--hosts", default="client,server", show_default=True, help="Names, separated by commas.")
@click.option("--name", help="What to call the lab; made up when left out.")
@path_options
@click.option("--netem", is_flag=True, help="Let the kernel impair, if it has netem; not the same each time.")
@click.option(
    "--capture", type=click.Path(path_type=Path), metavar="DIR", help="Write HOST.pcapng of each host there."
)
@click.option("--json", "as_json", is_flag=True, help="Print the lab as JSON.")
@click.pass_context
def up(
    context: click.Context,
    /,
    hosts: str,
    name: str | None,
    netem: bool,
    capture: Path | None,
    as_json: bool,
    **path: object,
) -> None:
    """Make a lab that stays until `xsocket lab clean`.

    Two hosts are joined by a link, more by a bridge. Host number N gets 10.0.0.N/24 and fd00::N/64.

    With options that say what happens on the way, frames between two hosts are carried by a process, through
    middleboxes near the first host and then over the long line to the second.
    """
    names = [host.strip() for host in hosts.split(",")]
    if len(names) > _LARGEST:
        raise click.BadParameter(f"at most {_LARGEST} hosts", param_hint="--hosts")
    if len(set(names)) != len(names):
        raise click.BadParameter("a name occurs twice", param_hint="--hosts")
    settings = settings_of(path)
    if (netem or capture is not None or not settings.is_empty) and len(names) != 2:
        raise click.BadParameter("what happens on the way is for labs of two hosts", param_hint="--hosts")
    settings.elements()  # refuses what makes no sense before there is a lab
    if netem:
        settings.netem().parameters()
    captures = None if capture is None else capture.absolute()
    plan = _Plan(names, settings, netem, captures, described(context))
    record = holder.keep(name, lambda made: _build(made, plan))
    if as_json:
        click.echo(json.dumps(_description(record), indent=2))
        return
    _print_hosts(record)
    click.echo(f"Enter it:  xsocket lab exec {record.name} {names[0]} -- COMMAND...")
    click.echo(f"Remove it: xsocket lab clean {record.name}")


def _build(made: Lab, plan: _Plan) -> None:
    hosts = [made.host(name) for name in plan.names]
    addresses = [[f"10.0.0.{number}/24", f"fd00::{number}/64"] for number in range(1, len(hosts) + 1)]
    if len(hosts) == 2:
        _join(made, plan, (hosts[0], hosts[1]), (addresses[0], addresses[1]))
    elif len(hosts) > 2:
        made.bridge("lan", hosts, addresses=addresses)


def _join(made: Lab, plan: _Plan, hosts: tuple[Host, Host], addresses: tuple[list[str], list[str]]) -> None:
    rest = plan.settings.without_netem() if plan.netem else plan.settings
    if rest.is_empty and plan.captures is None:
        ends = made.link(*hosts, addresses=addresses)
        interfaces = ends.left.name, ends.right.name
    else:
        detour = made.detour(NAME, *hosts, addresses=addresses)
        interfaces = detour.left.name, detour.right.name
        carrier.start(made, detour, rest, captures=plan.captures, does=plan.does)
    if plan.netem:
        for host, interface in zip(hosts, interfaces, strict=True):
            host.impair(interface, plan.settings.netem())


@lab.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the labs as JSON.")
def list_labs(as_json: bool) -> None:
    """List the labs of this user.

    Running ones, persistent ones (from `lab up`), and those left over.
    """
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
    """Remove labs: persistent ones, and what killed processes left. All of them, or only those named.

    Without a name, also the nftables rules of engines that have ended, in this network namespace; the kernel
    removes them itself from Linux 5.12 on.
    """
    removed = removal.clean(names, everything=everything)
    tables = [] if names else _remove_rules()
    if as_json:
        click.echo(json.dumps({**asdict(removed), "tables": tables}, indent=2))
        return
    click.echo(f"Removed {len(removed.labs)} lab(s), {removed.namespaces} namespace(s).")
    if tables:
        click.echo(f"Removed the rules of engines that have ended: {', '.join(tables)}.")
    if removed.kept:
        click.echo(f"Kept, in use by running processes: {', '.join(removed.kept)} (--all removes them too).")


def _remove_rules() -> list[str]:
    """Return the nftables tables that were removed; none where one may not even look."""
    try:
        return remove_leftovers()
    except GuardError:
        return []


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
        "paths": [
            {
                "name": middle,
                "namespace": record.bridges[middle],
                "process": found.process.pid,
                "running": found.process.is_running(),
                "does": list(found.does),
            }
            for middle, found in record.carriers.items()
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

    view = table.Table("lab", "state", "owner", "hosts", "path")
    for record in records:
        owner = "" if record.owner is None else str(record.owner.pid)
        view.add_row(record.name, record.state.value, owner, " ".join(record.hosts), _path_of(record))
    console.Console().print(view)


def _path_of(record: LabRecord) -> str:
    """Return what happens between the hosts, and whether whatever does it still runs."""
    return "\n".join(
        " ".join(found.does) or "carries" if found.process.is_running() else "ended: nothing gets through"
        for found in record.carriers.values()
    )
