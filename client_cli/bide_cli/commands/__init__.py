"""The commands, one module each; `bide_cli.cli` imports a module when its command is used."""
