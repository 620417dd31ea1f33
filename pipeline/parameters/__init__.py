"""How params.yaml is read and refused: strict YAML, kinds of value, rules, what was meant."""
