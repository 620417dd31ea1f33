"""The commands that are no stages: a file each; `pipeline.common.commands` finds them."""
