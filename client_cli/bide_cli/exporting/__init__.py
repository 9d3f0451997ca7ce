"""Giving what is here to the person whose it is, as a file that needs no Bide to read: Markdown, JSON, HTML.

`entries` walks the journal, `mine` leaves only one's own words, `originals` gives back what was imported from Bide, `said` says
what an entry says in labelled parts. One module a format draws it, entry by entry, so that a large journal needs little memory.
"""
