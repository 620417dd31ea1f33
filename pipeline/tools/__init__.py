"""The commands that are not stages, one file each; `pipeline.common.commands` finds them."""
