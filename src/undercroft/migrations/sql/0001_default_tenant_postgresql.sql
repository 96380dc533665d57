-- The tenant of a bot that has only one, store.default; the id is computed from its key, local:default.

INSERT INTO undercroft.tenants (tenant_id, platform, native_id, name, created_at, updated_at)
VALUES ('1d51f94d-6aca-5fad-b095-cf0b2186596b', 'local', 'default', 'default', now(), now());
