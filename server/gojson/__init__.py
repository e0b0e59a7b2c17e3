"""JSON request bodies, decoded by the rules of Go's encoding/json and refused in its words.

    decode.py    the entry: a body becomes a request
    scan.py      text → first JSON value, or the syntax error
    types.py     JSON value → typed value, or the type error
    walk.py      what the types share
    base64.py    pictures inside bodies
    duration.py  `keep_alive` and settings written as Go durations

A body that orjson takes is only walked once, by the types; the slower scanner runs when there is something to complain
about, or something behind the first value.
"""
