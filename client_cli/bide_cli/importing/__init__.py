"""Bringing along what was written in another journal.

One module a format (`jrnl`, `dayone`, `daylio`, `bide_json`) turns a file into `found.Found` entries and touches nothing else.
`plan` makes keepsakes of them and compares with what is here. `files` reads files within limits.
"""
