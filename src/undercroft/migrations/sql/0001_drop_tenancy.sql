-- The schema, its version table and the roles stay: they were there before the first revision.
-- A blank line after a semicolon ends a statement.

DROP FUNCTION undercroft.purge(uuid), undercroft.enter_fleet(), undercroft.enter(uuid), undercroft.in_fleet();

DROP FUNCTION undercroft.tenant(), undercroft.fleet_or_tenant();

DROP FUNCTION undercroft.refuse_nobody(text);

-- Only the one that we made, and only while nobody else's index needs it.
SET LOCAL ROLE NONE;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'btree_gin' AND extnamespace = 'undercroft'::regnamespace)
  THEN
    DROP EXTENSION btree_gin;
  END IF;
EXCEPTION
  WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;
END
$$;

SET LOCAL ROLE undercroft_owner;
