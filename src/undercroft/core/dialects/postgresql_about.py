"""What a PostgreSQL server tells of itself and of our tables."""

from undercroft.core.dialects.base import Description, TableStats
from undercroft.core.tx import Tx

_ABOUT = """
SELECT current_setting('server_version'),
       (SELECT version_num FROM undercroft.alembic_version),
       pg_database_size(current_database())
"""
_TABLES = """
SELECT c.relname,
       coalesce(sum(greatest(part.reltuples, 0)), 0)::bigint,
       coalesce(sum(pg_total_relation_size(part.oid)), 0)::bigint
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT leaf.oid, leaf.reltuples FROM pg_partition_tree(c.oid) AS tree JOIN pg_class AS leaf ON leaf.oid = tree.relid
    WHERE tree.isleaf
    UNION
    SELECT c.oid, c.reltuples WHERE c.relkind = 'r'
) AS part
WHERE n.nspname = 'undercroft' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname ORDER BY c.relname
"""


def describe(tx: Tx) -> Description:
    """Ask for the version, the revision and the sizes."""
    tables = [TableStats(name, rows, size) for name, rows, size in tx.sql(_TABLES)]
    version, revision, size = tx.sql(_ABOUT)[0]
    return Description(version, revision, size, tables)
