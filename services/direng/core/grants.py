"""What DirEng does without asking, and what it asks for (SPEC.md section 2, "Approval")."""

from services.direng.models import Grant

GRANTS: tuple[Grant, ...] = (
    Grant(action="read files, search, ask the index", risk="low", rule="automatic"),
    Grant(action="read git: status, log, diff", risk="low", rule="automatic"),
    Grant(action="run tests and linters, in the sandbox, on a copy", risk="low", rule="automatic"),
    Grant(action="change files on a copy: a small direct run", risk="low", rule="automatic; merged only by /accept"),
    Grant(action="delegate a plan to PEX, the orchestrator", risk="high", rule="asks, with an estimate"),
    Grant(action="merge a run into your files (/accept), take it back (/undo)", risk="high", rule="only on your word"),
    Grant(action="pay for a model", risk="high", rule="asks once a session; never above the session's cap (/budget)"),
    Grant(action="network, deletions, history rewrites", risk="critical", rule="never, in this version"),
)
