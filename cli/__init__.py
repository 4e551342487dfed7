"""`mailwright`: the command line. `cli.main:run` is its entry point."""
