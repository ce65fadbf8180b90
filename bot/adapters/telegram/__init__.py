"""Telegram: private chats, groups, topics. Imported only where there is a token: the SDK is not small."""

from bot.adapters.telegram.adapter import Telegram
from bot.adapters.telegram.check import check
from bot.adapters.telegram.house import Finding, House, Recent

__all__ = ["Finding", "House", "Recent", "Telegram", "check"]
