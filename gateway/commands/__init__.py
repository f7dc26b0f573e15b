"""The command line: the operator's commands, a file for each noun, and the commands that run processes."""
