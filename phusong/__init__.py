"""What coverage means. Pure: no I/O, no clock, no environment, no logging, no randomness (only `settings` reads the outside).

Where things live: the wire contract `events`; which topics exist `topics`; what a record must satisfy to count `admission`; which communes
exist `register`; what is counted and who owes it `indicators`; what was said `evidence`; what it amounts to, and what counts as stale,
`assessment`; one province kept up to date `province`; what is published `rows`.
"""
