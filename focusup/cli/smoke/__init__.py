"""`focusup smoke`: check that a running server does what it promises."""
