"""After metrics on the path of data: label-budget tables and ablations."""
