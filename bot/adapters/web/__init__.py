"""The web page: a chat with the bot in the browser, and the small server behind it."""

from bot.adapters.web.server import Web

__all__ = ["Web"]
