DROP FUNCTION undercroft.changes(text);

DROP FUNCTION undercroft.announce(text);

DROP FUNCTION undercroft.change_scope(text);

DROP FUNCTION undercroft.scope_hash(uuid, text);

DROP TABLE undercroft.change_key;
