"""What a check found: `Finding`, and all of them as one table: `Findings`.

    Finding.fine("memory", "≈7 GB are free")                        nothing to mend
    Finding.wrong("memory", "≈1 GB are free …", "shut down …")      with its cure
    findings.wrong                                                  those with something to mend

What is checked stands in `judging.py` (the environment), `run_folder.py` and `selftest.py`. Shown
by `python -m ftkit doctor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.results import Result, TableParts


@dataclass(frozen=True)
class Finding:
    """One check: what it saw and, where that is wrong, what to do about it."""

    check: str
    ok: bool
    message: str
    cure: str = ""

    @classmethod
    def fine(cls, check: str, message: str) -> "Finding":
        """A check that found nothing to mend."""
        return cls(check, True, message)

    @classmethod
    def wrong(cls, check: str, message: str, cure: str) -> "Finding":
        """A check that found something, with what mends it."""
        return cls(check, False, message, cure)

    @property
    def detail(self) -> str:
        """What was seen and what to do, as one sentence."""
        return f"{self.message}: {self.cure}" if self.cure else self.message


@dataclass(frozen=True, repr=False)
class Findings(Result):
    """All checks of the doctor, in the order in which they were made."""

    of: str  # what was looked at
    findings: Sequence[Finding]

    @property
    def wrong(self) -> list[Finding]:
        """The checks that found something to mend."""
        return [finding for finding in self.findings if not finding.ok]

    def json(self) -> dict:
        """{"findings": [{"check", "ok", "detail", "cure"}, …]}; the cure ends the detail, too."""
        return {
            "findings": [
                {"check": f.check, "ok": f.ok, "detail": f.detail, "cure": f.cure}
                for f in self.findings
            ]
        }

    def table(self) -> TableParts:
        """One line per check, and one more for each cure."""
        rows: list[Sequence[object]] = []
        for finding in self.findings:
            rows.append((finding.check, "ok" if finding.ok else "WRONG", finding.message))
            if finding.cure:
                rows.append(("", "→", finding.cure))
        wrong, all_checks = len(self.wrong), len(self.findings)
        title = f"all {all_checks} checks are fine"
        if wrong:
            title = f"{wrong} of {all_checks} checks found something to mend"
        return f"{self.of}: {title}", ("check", "", ""), rows
