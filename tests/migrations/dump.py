"""A schema as text, to be compared: everything that a migration makes, in one line each."""

import sqlalchemy as sa

_SQLITE = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema"

_POSTGRESQL = r"""
WITH relations AS (SELECT * FROM pg_class WHERE relnamespace = to_regnamespace('undercroft'))
SELECT format('%s %s owner %s rls %s %s acl %s bound %s options %s', relkind, relname, relowner::regrole,
  relrowsecurity, relforcerowsecurity, relacl, pg_get_expr(relpartbound, oid), reloptions) FROM relations
UNION ALL SELECT format('column %s %s %s %s %s default %s', a.attrelid::regclass, a.attnum, a.attname,
  a.atttypid::regtype, a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
  WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r', 'p', 'v')
UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = to_regnamespace('undercroft')
UNION ALL SELECT pg_get_indexdef(oid) FROM relations WHERE relkind IN ('i', 'I')
UNION ALL SELECT format('policy %s %s %s %s %s using %s check %s', polrelid::regclass, polname, polcmd, polpermissive,
  polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  FROM pg_policy JOIN relations r ON r.oid = polrelid
UNION ALL SELECT format('function owner %s acl %s %s', proowner::regrole, proacl, pg_get_functiondef(oid))
  FROM pg_proc p WHERE pronamespace = to_regnamespace('undercroft')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT format('schema owner %s acl %s', nspowner::regrole, nspacl)
  FROM pg_namespace WHERE nspname = 'undercroft'
UNION ALL SELECT format('extension %s in %s', extname, extnamespace::regnamespace) FROM pg_extension
"""


def schema(connection: sa.Connection) -> list[str]:
    query = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    inside = connection.in_transaction()
    try:
        found = connection.exec_driver_sql(query.replace("%", "%%")).scalars()
        return sorted(" ".join(line.split()) for line in found)
    finally:
        if not inside:
            connection.rollback()
