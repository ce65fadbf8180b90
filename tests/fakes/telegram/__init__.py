"""A Telegram for tests."""

from tests.fakes.telegram.files import File
from tests.fakes.telegram.server import Fault, Server, server
from tests.fakes.telegram.world import BOT_NAME, TOKEN, Chat, Message, Person

__all__ = ["BOT_NAME", "TOKEN", "Chat", "Fault", "File", "Message", "Person", "Server", "server"]
