"""Long runs that break a store on purpose, a thousand times over: `python -m tests.soak --help`."""
