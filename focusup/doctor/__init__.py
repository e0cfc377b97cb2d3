"""Check everything that a server needs, and say what to do about problems (`focusup doctor`).

Invariants:

- The checks change nothing.
- No secret, token, password or credential of an address is shown.
- A check that fails keeps no other check from being made.
"""
