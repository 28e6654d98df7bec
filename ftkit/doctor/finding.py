"""TODO header of doctor.finding."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.results import Result


@dataclass(frozen=True)
class Finding:
    """One check: what it saw and, where that is wrong, what to do about it."""

    check: str
    ok: bool
    said: str
    cure: str = ""

    @property
    def detail(self) -> str:
        """What was seen and what to do, as one sentence."""
        return f"{self.said}: {self.cure}" if self.cure else self.said


@dataclass(frozen=True, repr=False)
class Findings(Result):
    """All checks of the doctor, in the order in which they were made."""

    of: str  # what was looked at
    findings: Sequence[Finding]

    @property
    def wrong(self) -> list[Finding]:
        """The checks that found something to mend."""
        return [f for f in self.findings if not f.ok]

    def json(self) -> dict:
        """The design's keys, and the cure once more by itself."""
        return {
            "findings": [
                {"check": f.check, "ok": f.ok, "detail": f.detail, "cure": f.cure}
                for f in self.findings
            ]
        }

    def table(self):
        """One line a check, and one more for each cure."""
        rows: list[Sequence[object]] = []
        for f in self.findings:
            rows.append((f.check, "ok" if f.ok else "WRONG", f.said))
            if f.cure:
                rows.append(("", "→", f.cure))
        bad, n = len(self.wrong), len(self.findings)
        title = (
            f"{bad} of {n} checks found something to mend" if bad else f"all {n} checks are fine"
        )
        return f"{self.of}: {title}", ("check", "", ""), rows
