"""Clients of providers: the protocols, and the HTTP below them. Knows no framework, no database and no user."""
