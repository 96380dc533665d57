-- What must be there before the first revision: roles, and a schema that is theirs. Run as the login, at every upgrade.
-- A blank line after a semicolon ends a statement.

-- Roles belong to the cluster: other databases have made them, or are making them at this moment.
DO $$
DECLARE
  wanted text;
  usable text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
  grants text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['undercroft_owner', 'undercroft_app', 'undercroft_fleet'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      END IF;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;
      WHEN insufficient_privilege THEN RAISE 'role % is missing', wanted USING ERRCODE = 'UC010';
    END;
    -- Who migrates must be able to act as the owner, and one login may well do everything. On PostgreSQL 16 a login
    -- need not pass the walls unless it says so: being a member of the owner gives it nothing by itself.
    BEGIN
      IF NOT pg_has_role(wanted, usable) THEN
        grants := CASE WHEN usable = 'MEMBER' THEN '' WHEN wanted = 'undercroft_owner' THEN ' WITH INHERIT FALSE, SET TRUE'
                       ELSE ' WITH INHERIT TRUE, SET TRUE' END;
        EXECUTE format('GRANT %I TO %I', wanted, current_user) || grants;
      END IF;
    EXCEPTION
      WHEN unique_violation THEN NULL;
      WHEN insufficient_privilege THEN
        IF wanted = 'undercroft_owner' THEN
          RAISE 'the login is no member of %', wanted USING ERRCODE = 'UC010';
        END IF;
    END;
  END LOOP;
END
$$;

DO $$
DECLARE
  owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = 'undercroft');
BEGIN
  IF owner IS NULL THEN
    CREATE SCHEMA undercroft AUTHORIZATION undercroft_owner;
  ELSIF owner <> 'undercroft_owner' THEN
    RAISE 'schema undercroft belongs to somebody else' USING ERRCODE = 'UC011';
  END IF;
END
$$;
