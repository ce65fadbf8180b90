-- People whom moderators had mentioned on Telegram stood by name among what roles and channels are called.
DELETE FROM title WHERE thing GLOB 'telegram:[0-9]*';
