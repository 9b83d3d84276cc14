"""What coverage means. Pure: no I/O, no clock, no environment, no logging, no randomness (only `settings` reads the outside).

Where things live: the wire contract `events`; which topics exist `topics`; what a record must satisfy to count `admission`; which communes
exist and what they were made of `register`; what is counted and who owes it `indicators`; all of that from rows `rules`; what was said
`evidence`. What it amounts to: what one operator's statements say, and what counts as stale, `views`; operators united `unions`; one
commune `communes`; a province, its target and verdict `assessment`; when the target is reached `pace`. One province kept up to date
`province`; what is published `rows`. Calendar and villages' names: `periods`, `places`.
"""
