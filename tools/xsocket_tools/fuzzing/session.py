"""A campaign from beginning to end: who plays, what is shown and saved meanwhile, what is left behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from xsocket_tools.fuzzing.campaign import Campaign, Record, play_here
from xsocket_tools.fuzzing.cluster import cluster_workers
from xsocket_tools.fuzzing.directory import Directory
from xsocket_tools.fuzzing.export import files_of, write_files
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.printing import live_display
from xsocket_tools.fuzzing.report import check_writable, write_report
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.target import StalledError, TargetError
from xsocket_tools.fuzzing.workers import LocalWorkers, play_out

SAVE_EVERY_S: Final = 10.0
REPORT: Final = "report.html"


class Session:
    """Plays a campaign.

    Args:
        campaign: Which.
        directory: Where it is kept; None for nowhere.
        report: Where to write a page, too; None for nowhere.

    Raises:
        ReportError: A page cannot be written there.

    Attributes:
        unexported: Why there are findings without a script and a capture; empty if there are none.
    """

    def __init__(self, campaign: Campaign, directory: Directory | None, report: Path | None) -> None:
        if report is not None:
            check_writable(report)
        self._campaign = campaign
        self._directory = directory
        self._report = report
        self._changed: set[str] = set()
        self._save_at = time.monotonic() + SAVE_EVERY_S
        self.unexported = ""

    @property
    def record(self) -> Record:
        """How far the campaign is."""
        return self._campaign.record

    @property
    def findings(self) -> Path | None:
        """Where the findings are as files; None for nowhere."""
        return None if self._directory is None else self._directory.findings

    def play(self, jobs: int, scheduler: str | None, stop: Callable[[], bool]) -> None:
        """Play, and save now and then; what has been played is saved however this ends.

        Args:
            jobs: How many processes play; one is this process.
            scheduler: Of a cluster that plays instead; None for this machine.
            stop: Says whether to end early.

        Raises:
            TargetError: The target cannot be had.
            ClusterError: The cluster cannot.
            ShardFailedError: A shard cannot be played.
        """
        campaign, plan = self._campaign, self._campaign.record.plan
        try:
            with live_display() as show:

                def tell(partial: Result) -> None:
                    show(campaign.record, partial)
                    if time.monotonic() >= self._save_at:
                        self._save()

                if scheduler is not None:
                    with cluster_workers(scheduler, plan.target) as workers:
                        play_out(campaign, workers, tell, stop)
                elif jobs > 1:
                    play_out(campaign, LocalWorkers(jobs), tell, stop)
                else:
                    with opened(plan.target, plan.command) as target:
                        play_here(campaign, target, tell, stop)
        finally:
            self._save()

    def _save(self) -> None:
        if self._directory is not None:
            changed = self._directory.write(self._campaign.record)
            self._changed |= {finding.slug for finding in changed}
        self._save_at = time.monotonic() + SAVE_EVERY_S

    def finish(self) -> None:
        """Write the scripts and captures of the findings, and the reports."""
        record = self.record
        if self._directory is not None:
            self._export(record, self._directory.findings)
            write_report(self._directory.path / REPORT, record)
        if self._report is not None:
            write_report(self._report, record, findings=self.findings)

    def _export(self, record: Record, directory: Path) -> None:
        wanted = [
            finding
            for finding in record.total.findings
            if finding.slug in self._changed or not files_of(directory, finding.slug)[0].exists()
        ]
        if not wanted:
            return
        try:
            with opened(record.plan.target, record.plan.command) as target:
                for finding in wanted:
                    with suppress(StalledError):
                        write_files(
                            play(finding.case, target, with_steps=True), target, directory, finding.slug
                        )
        except TargetError as error:  # this machine is not the one that played
            self.unexported = error.message
