"""Accounts: sign-up, logins, settings, and what the operator does with them."""
