"""The tools beside the stages: a file a command, of its name; `common/commands.py` finds them."""
