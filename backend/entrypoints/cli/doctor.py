"""`prelabel doctor`: what is found about an installation, a line each, and what became of it."""

from backend.entrypoints.cli import installation
from backend.entrypoints.console import say
from backend.entrypoints.doctor import examine as examination


def show_findings(project: int | None, *, repairs: bool) -> bool:
    """Print what is found, and repair what can be repaired if asked to; returns whether all is well then."""
    findings = []
    for finding in examination.examine(installation.looked_at(), project):
        findings.append(finding)
        mark = ("ok  ", "green") if finding.good else ("BAD ", "red")
        say(mark, " ", (finding.name, "bold"), f": {finding.detail}")
        if not finding.good and finding.fix:
            say(f"      -> {finding.fix}")
    left = sum(not finding.good for finding in findings)
    if repairs:
        for finding, problem in examination.apply_repairs(findings):
            say(f"{finding.name}: {problem or 'repaired'}")
            left -= not problem
    return not left
