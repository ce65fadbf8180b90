"""What moderators do, all under ``/mod``: each change is written down in the transaction that makes it, is
answered with what changed, and most can be undone.
"""
