"""What a study is: `params.yaml` read, checked, and refused in one sentence where it is wrong."""
