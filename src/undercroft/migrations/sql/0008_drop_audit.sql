DROP FUNCTION undercroft.archive_audit(uuid, bigint, bytea, bigint, text, bytea, text);
