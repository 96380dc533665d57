-- Full-text search on PostgreSQL. A blank line after a semicolon ends a statement.

ALTER TABLE undercroft.messages ADD COLUMN search tsvector;

-- A word's list in the index is everybody's. With the tenant beside it (btree_gin) a tenant's part of the list is found
-- without reading the others' rows; without the extension the index still serves, by reading them. The extension is
-- trusted since PostgreSQL 13 and lies in our schema, so nothing outside is touched; one that is there already is used.
SET LOCAL ROLE NONE;

DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA undercroft;
EXCEPTION
  WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR invalid_parameter_value THEN NULL;
END
$$;

SET LOCAL ROLE undercroft_owner;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'btree_gin') THEN
    CREATE INDEX ix_messages_search ON undercroft.messages USING gin (tenant_id, search);
  ELSE
    CREATE INDEX ix_messages_search ON undercroft.messages USING gin (search);
  END IF;
END
$$;

-- The one way to the index: @@ is not leakproof, so under row-level security no plan may use it. The function passes the
-- walls as their owner, and takes its tenant from what was entered, never from an argument.
--
-- query is a tsquery literal. Newest first, or by rank and then newest; before continues a page; from_id (included) and
-- to_id (excluded) bound the time. At most 1,000 rows. Each call is planned for its own values: a word that is everywhere
-- is found by walking backwards in time, a rare one through the index.
CREATE FUNCTION undercroft.search_messages(
  query text, ranked boolean, lim integer, before uuid, author uuid, channel uuid, from_id uuid, to_id uuid,
  has_file boolean, has_link boolean, has_reaction boolean
) RETURNS TABLE (id uuid, rank real) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan ROWS 20 AS $$
#variable_conflict use_column
DECLARE
  entered uuid := undercroft.tenant();
  wanted tsquery := query::tsquery;
BEGIN
  RETURN QUERY
  SELECT m.id, CASE WHEN ranked THEN ts_rank(m.search, wanted) ELSE 0::real END AS rank
  FROM undercroft.messages m
  WHERE m.tenant_id = entered AND m.search @@ wanted AND m.deleted_at IS NULL
    AND (search_messages.before IS NULL OR m.id < search_messages.before)
    AND (search_messages.author IS NULL OR m.author_id = search_messages.author)
    AND (search_messages.channel IS NULL OR m.channel_id = search_messages.channel)
    AND (search_messages.from_id IS NULL OR m.id >= search_messages.from_id)
    AND (search_messages.to_id IS NULL OR m.id < search_messages.to_id)
    AND (search_messages.has_file IS NULL OR m.has_file = search_messages.has_file)
    AND (search_messages.has_link IS NULL OR m.has_link = search_messages.has_link)
    AND (search_messages.has_reaction IS NULL OR m.has_reaction = search_messages.has_reaction)
  ORDER BY rank DESC, m.id DESC -- unranked, rank is a constant and the rows come in the primary key's order
  LIMIT least(lim, 1000);
END
$$;

REVOKE ALL ON FUNCTION undercroft.search_messages(
  text, boolean, integer, uuid, uuid, uuid, uuid, uuid, boolean, boolean, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION undercroft.search_messages(
  text, boolean, integer, uuid, uuid, uuid, uuid, uuid, boolean, boolean, boolean) TO undercroft_app;
