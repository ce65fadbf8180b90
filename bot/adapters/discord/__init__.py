"""Discord: slash commands, buttons that outlive restarts, and pictures that arrive.

Nothing here imports discord.py until ``adapter`` is imported, which a bot without a token never does.
"""
