"""Real history from other places, read as if it were hostile and handed on as neutral records.

`source` opens a zip or a directory safely, `json_stream` reads JSON of any size in bounded memory, `scrub` removes what
a database cannot hold or must not keep; one package a platform turns what they yield into `undercroft.archive.records`.
"""
