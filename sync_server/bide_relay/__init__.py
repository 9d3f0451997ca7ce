"""The relay: merges the logs of spaces that it cannot read.

From the inside out: `service` holds the rules and knows no clock, thread or socket; `storage` keeps what the rules admit;
`committer` runs both in one thread and commits in groups; `rooms`, `connection`, `mailboxes` and `server` are the websocket
shell; `main` is the command.
"""
