-- Full-text search on SQLite: an index over the rows of message_search, whose docid follows the time of the message, so
-- that the newest hits are the highest rowids. Words come cut by us: tokenize='ascii' splits at spaces.
CREATE TABLE message_search (
  docid INTEGER NOT NULL,
  tenant_id BLOB NOT NULL,
  message_id BLOB NOT NULL,
  tenant TEXT NOT NULL,
  body TEXT NOT NULL,
  CONSTRAINT pk_message_search PRIMARY KEY (docid),
  CONSTRAINT uq_message_search_tenant_id_message_id UNIQUE (tenant_id, message_id)
) STRICT;

CREATE VIRTUAL TABLE messages_fts USING fts5(
  tenant, body, content='message_search', content_rowid='docid', tokenize='ascii'
);
