"""Stored tokens: kept sealed (:mod:`.keys`), and fresh when they are used (:mod:`.refresh`). Knows no framework."""
