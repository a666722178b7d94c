"""The command line, one module a group of commands: each parses, calls one library function and prints its report."""
