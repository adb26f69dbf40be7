"""The commands, one file for what belongs together; each registers with `cli.notifierlab`."""
