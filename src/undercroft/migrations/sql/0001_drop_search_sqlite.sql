DROP TABLE messages_fts;

DROP TABLE message_search;
