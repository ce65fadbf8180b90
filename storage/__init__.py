"""Memory: accounts, ledger, jobs, gallery; knows no chats."""
