"""People: chats, commands, rules; knows no tensors and no SQL."""
