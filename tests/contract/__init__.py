"""What every backend promises: one suite, run unchanged on each."""
