"""Entry points: configuration, stages and one short module per job; the only place where the rooms meet."""
