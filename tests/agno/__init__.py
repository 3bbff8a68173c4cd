"""The three stores as ``db=`` of the real agno: Agents, Teams, Workflows and AgentOS on a scripted model."""
