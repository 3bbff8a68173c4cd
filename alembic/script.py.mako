## Filled by `agno-store history --new`.
"""${said}

Revision ID: ${up_revision}
Revises:${f" {down_revision}" if down_revision else ""}
"""

% if imports:
${imports}

% endif
% for line in facts:
${line}
% endfor


def upgrade(op, n):
${upgrades}


def downgrade(op, n):
${downgrades}
