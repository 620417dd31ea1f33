"""Commands beside the stages: check a study, forecast it, watch it, do a trial again."""
