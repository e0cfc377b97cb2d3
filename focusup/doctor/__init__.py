"""`focusup doctor`: looks at all that a server needs, and says what to do about what is not well.

What must always hold: nothing is changed by looking; no secret, token, password or credential
of an address is told; one check that fails keeps no other from being made.
"""
