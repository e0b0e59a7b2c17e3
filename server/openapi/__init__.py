"""The OpenAPI document of the application: what it takes and what it answers.

requests.py    decoders of bodies → schemas, so that a document cannot say other than what is decoded
members.py     what handlers ask of members that decode to anything, and a line about each member
objects.py     the schemas of answers
responses.py   the statuses of every endpoint
document.py    endpoints → the document
"""
