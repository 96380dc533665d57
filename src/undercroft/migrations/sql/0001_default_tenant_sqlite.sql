-- The tenant of a bot that has only one, store.default; the id is computed from its key, local:default.

INSERT INTO tenants (tenant_id, platform, native_id, name, created_at, updated_at)
VALUES (x'1d51f94d6aca5fadb095cf0b2186596b', 'local', 'default', 'default',
        CAST(strftime('%s', 'now') AS INTEGER) * 1000000, CAST(strftime('%s', 'now') AS INTEGER) * 1000000);
