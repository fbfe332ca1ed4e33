"""The rules that a team brings: Python and YAML files, tried out before they are used."""
