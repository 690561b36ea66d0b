"""One's own texts in: from exports of chats, mails and posts to recordings that the pipeline replays."""
