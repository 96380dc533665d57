-- What a running server says against its walls: one row a fault, (rule, object). Reads the catalogue only.
WITH relations AS (
  SELECT c.oid, c.relname, c.relkind, c.relispartition, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
    c.relacl, (SELECT a.attnum FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS tenant
  FROM pg_catalog.pg_class c
  WHERE c.relnamespace = 'undercroft'::regnamespace
), tables AS (
  SELECT * FROM relations WHERE relkind IN ('r', 'p') AND relname NOT IN ('alembic_version', 'seal_keys', 'change_key')
), policies AS (
  SELECT p.*, coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) AS expression,
    0 = ANY (p.polroles) OR 'undercroft_app'::regrole = ANY (p.polroles) AS for_app
  FROM pg_catalog.pg_policy p
), rights AS (
  SELECT r.relname, r.relkind, r.relispartition, g.grantee, g.privilege_type
  FROM relations r CROSS JOIN LATERAL pg_catalog.aclexplode(r.relacl) g
  WHERE g.grantee <> r.relowner
), functions AS (
  SELECT p.oid, p.proname, p.prosecdef, p.proconfig, p.proacl, p.proowner
  FROM pg_catalog.pg_proc p
  WHERE p.pronamespace = 'undercroft'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
)
SELECT 'row-level security is not enabled and forced' AS rule, relname::text AS object
FROM tables WHERE NOT (relrowsecurity AND relforcerowsecurity)
UNION ALL
SELECT 'no restrictive policy walls the application in', relname
FROM tables t WHERE NOT relispartition AND NOT EXISTS (
  SELECT FROM policies p WHERE p.polrelid = t.oid AND NOT p.polpermissive AND p.polcmd = '*' AND p.for_app
    AND p.expression LIKE '%tenant()%')
UNION ALL
SELECT 'a policy opens every row to the application', t.relname || '.' || p.polname
FROM tables t JOIN policies p ON p.polrelid = t.oid WHERE p.polpermissive AND p.for_app AND p.expression = 'true'
UNION ALL
SELECT 'it has no tenant_id', relname FROM tables WHERE tenant IS NULL
UNION ALL
SELECT 'a view without security_invoker passes its owner''s walls', relname
FROM relations WHERE relkind = 'v' AND NOT coalesce(reloptions && ARRAY['security_invoker=true', 'security_invoker=on'], false)
UNION ALL
SELECT 'a materialized view passes row-level security', relname FROM relations WHERE relkind = 'm'
UNION ALL
SELECT 'a unique index across tenants tells one what another has', i.indexrelid::regclass::text
FROM pg_catalog.pg_index i JOIN tables t ON t.oid = i.indrelid WHERE i.indisunique AND i.indkey[0] IS DISTINCT FROM t.tenant
UNION ALL
SELECT 'a foreign key does not begin with tenant_id', t.relname || '.' || k.conname
FROM pg_catalog.pg_constraint k JOIN tables t ON t.oid = k.conrelid WHERE k.contype = 'f' AND k.conkey[1] IS DISTINCT FROM t.tenant
UNION ALL
SELECT 'a partition can be reached past its table', relname
FROM rights g WHERE relispartition -- whoever passes the walls anyhow, as a backup does, gains nothing by it
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = g.grantee AND (r.rolsuper OR r.rolbypassrls))
GROUP BY relname
UNION ALL
SELECT format('%s is granted, which walls do not hold', privilege_type), relname
FROM rights WHERE privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') GROUP BY relname, privilege_type
UNION ALL
SELECT 'everybody has rights to it', relname FROM rights WHERE grantee = 0 GROUP BY relname
UNION ALL
SELECT format('%s is granted on an append-only table', privilege_type), relname
FROM rights WHERE relname IN ('audit_events', 'audit_links', 'audit_archives', 'config_audit', 'meeting_changes') AND privilege_type IN ('UPDATE', 'DELETE') GROUP BY relname, privilege_type
UNION ALL
SELECT 'the keys of sealed tenants can be read', relname
FROM rights g WHERE relname = 'seal_keys' -- a backup's login passes the walls anyhow
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = g.grantee AND (r.rolsuper OR r.rolbypassrls))
GROUP BY relname
UNION ALL
SELECT 'what hides whose changes are told can be read', relname
FROM rights g WHERE relname = 'change_key'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = g.grantee AND (r.rolsuper OR r.rolbypassrls))
GROUP BY relname
UNION ALL
SELECT 'it has a trigger', t.relname || '.' || g.tgname
FROM pg_catalog.pg_trigger g JOIN tables t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal
UNION ALL
SELECT 'it does not belong to undercroft_owner', relname FROM relations WHERE relowner <> 'undercroft_owner'::regrole
UNION ALL
SELECT 'it does not belong to undercroft_owner', proname || '()' FROM functions WHERE proowner <> 'undercroft_owner'::regrole
UNION ALL
SELECT 'a SECURITY DEFINER function without a search_path runs the caller''s functions', proname || '()'
FROM functions WHERE prosecdef AND NOT coalesce(array_to_string(proconfig, ' ') LIKE '%search_path=%', false)
UNION ALL
SELECT 'everybody may execute it', proname || '()'
FROM functions WHERE proacl IS NULL OR EXISTS (SELECT FROM pg_catalog.aclexplode(proacl) g WHERE g.grantee = 0)
UNION ALL
SELECT 'the role passes row-level security', rolname
FROM pg_catalog.pg_roles
WHERE rolname IN ('undercroft_owner', 'undercroft_app', 'undercroft_fleet') AND (rolsuper OR rolbypassrls)
UNION ALL
SELECT 'the role is a member of the owner, who passes every wall', r.rolname
FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member
WHERE m.roleid = 'undercroft_owner'::regrole AND r.rolname IN ('undercroft_app', 'undercroft_fleet')
ORDER BY 1, 2;
