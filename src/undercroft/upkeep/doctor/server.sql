-- What a server tells about itself and about whoever is connected: one row, in the order of server.Server. Catalogue only.
WITH login AS (
  SELECT * FROM pg_catalog.pg_roles WHERE rolname = session_user
), indexes AS (
  SELECT i.indexrelid, i.indisvalid, i.indkey[0] AS first, i.indrelid
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  WHERE c.relnamespace = 'undercroft'::regnamespace
)
SELECT
  current_database()::text,
  login.rolname::text,
  login.rolsuper,
  login.rolbypassrls,
  pg_catalog.pg_has_role(login.oid, 'undercroft_owner', 'MEMBER'),
  pg_catalog.pg_has_role(login.oid, 'undercroft_app', 'USAGE'),
  pg_catalog.pg_has_role(login.oid, 'undercroft_fleet', 'USAGE'),
  current_setting('server_version_num')::int,
  split_part(current_setting('server_version'), ' ', 1),
  -- Neither a socket nor this machine's own addresses.
  coalesce(NOT (inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1' OR inet_client_addr() = inet_server_addr()), false),
  coalesce((SELECT s.ssl FROM pg_catalog.pg_stat_ssl s WHERE s.pid = pg_backend_pid()), false),
  pg_catalog.pg_is_in_recovery(),
  ARRAY(
    SELECT g.privilege_type::text FROM pg_catalog.pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) g
    WHERE d.datname = current_database() AND g.grantee = 0 ORDER BY 1
  ),
  ARRAY(
    SELECT g.privilege_type::text FROM pg_catalog.pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g
    WHERE n.nspname = 'public' AND g.grantee = 0 ORDER BY 1
  ),
  EXISTS (
    SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = to_regnamespace('public') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
  ),
  -- Whoever can pass the walls: nobody whom an application logs in as may be among them.
  ARRAY(
    SELECT r.rolname::text FROM pg_catalog.pg_roles r
    WHERE r.rolcanlogin AND (r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, 'undercroft_owner', 'MEMBER')) ORDER BY 1
  ),
  -- messages.search is not the first column of its index where btree_gin puts the tenant before it.
  EXISTS (
    SELECT FROM indexes i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.first
    WHERE i.indexrelid = to_regclass('undercroft.ix_messages_search') AND a.attname = 'search'
  ),
  ARRAY(SELECT i.indexrelid::regclass::text FROM indexes i WHERE NOT i.indisvalid ORDER BY 1),
  ARRAY(
    SELECT c.relname::text FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'undercroft'::regnamespace AND c.relkind = 'p' AND NOT c.relispartition
      AND EXISTS (SELECT FROM pg_catalog.pg_inherits p WHERE p.inhparent = c.oid)
      AND to_regclass(format('undercroft.%I', c.relname || '_' || extract(year FROM now() AT TIME ZONE 'UTC'))) IS NULL
    ORDER BY 1
  ),
  current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
  current_setting('synchronous_commit') <> 'off',
  EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')
FROM login;
