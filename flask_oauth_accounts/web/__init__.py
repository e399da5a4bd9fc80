"""The pages and addresses that put the registry and the accounts before a browser.

A view here reads the request, calls one thing below, and answers. What may not happen here: a decision about
accounts, a request to a provider by hand, a query.
"""
