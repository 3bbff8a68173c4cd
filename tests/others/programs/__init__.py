"""What runs on earlier releases of agno: `python -m tests.others.programs.NAME`, started by `tests.others.run`."""
