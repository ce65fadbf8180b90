"""Chats: the terminal, the page, the control socket. Each listens and shows; the loop is ``converse``."""
