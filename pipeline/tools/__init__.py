"""Commands beside the stages: one file a command, of the name of the command."""
