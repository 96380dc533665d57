-- Sealed mode: a tenant is entered under an HMAC that the application makes and that no SQL of its role can make.
-- A blank line after a semicolon ends a statement.
--
-- Three modes, which undercroft.set_seal() changes for everybody at once: plain as before, at no cost; grace, in
-- which both ways in are open, while processes get their key; sealed. The policies stay: what they call is replaced.

-- The owner's alone. HMAC-SHA256 is sha256(outer || sha256(inner || message)), so a key is kept as its two blocks.
CREATE TABLE undercroft.seal_keys (
  key_id text NOT NULL,
  inner_pad bytea NOT NULL,
  outer_pad bytea NOT NULL,
  added_at timestamptz NOT NULL,
  CONSTRAINT pk_seal_keys PRIMARY KEY (key_id),
  CONSTRAINT ck_seal_keys_pads CHECK (length(inner_pad) = 64 AND length(outer_pad) = 64)
);

CREATE FUNCTION undercroft.seal_mode() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN 'plain'::text;

-- Checks a context, scope|expiry|mac, enters its scope, and leaves a ticket of the same form in undercroft.tenant: sealed
-- again for this transaction of this connection, so that a copy of it opens nothing later or elsewhere. UC006 the seal is
-- not of our keys, UC007 it has expired; otherwise as enter().
--
-- A key is never in a variable, which a debugging setting may show, and what is compared is hashed once more under the
-- key, so that the time it takes tells nothing.
CREATE FUNCTION undercroft.enter_sealed(context text) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mode text := undercroft.seal_mode();
  body text := left(context, -65);
  wanted text := split_part(context, '|', 1);
  entered text := split_part(current_setting('undercroft.tenant', true), '|', 1);
  deleted boolean;
BEGIN
  IF mode <> 'plain' THEN
    IF NOT EXISTS (
      SELECT FROM undercroft.seal_keys k
      WHERE sha256(k.outer_pad || convert_to(right(context, 64), 'UTF8')) = sha256(k.outer_pad || convert_to(encode(
        sha256(k.outer_pad || sha256(k.inner_pad || convert_to('enter|' || body, 'UTF8'))), 'hex'), 'UTF8'))
    ) THEN
      RAISE 'the seal is not one of this database' USING ERRCODE = 'UC006';
    ELSIF split_part(context, '|', 2)::numeric < extract(epoch FROM clock_timestamp()) THEN
      RAISE 'the seal has expired' USING ERRCODE = 'UC007';
    END IF;
  END IF;
  IF entered <> '' AND entered <> wanted THEN
    RAISE 'another tenant is entered' USING ERRCODE = 'UC003';
  ELSIF wanted IS DISTINCT FROM 'fleet' THEN
    SELECT deleted_at IS NOT NULL INTO deleted FROM undercroft.tenants WHERE tenant_id = wanted::uuid;
    IF deleted IS NULL THEN
      RAISE 'no such tenant' USING ERRCODE = 'UC001';
    ELSIF deleted THEN
      RAISE 'the tenant is deleted' USING ERRCODE = 'UC002';
    END IF;
  END IF;
  IF mode = 'plain' THEN
    PERFORM set_config('undercroft.tenant', wanted, true);
  ELSE
    PERFORM set_config('undercroft.tenant', body || '|' || encode(sha256(k.outer_pad || sha256(k.inner_pad || convert_to(
      concat_ws('|', 'here', body, pg_backend_pid(), extract(epoch FROM transaction_timestamp())), 'UTF8'))), 'hex'), true)
    FROM undercroft.seal_keys k ORDER BY k.added_at DESC LIMIT 1;
  END IF;
  RETURN nullif(wanted, 'fleet')::uuid;
END
$$;

CREATE FUNCTION undercroft.enter_fleet_sealed(context text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT pg_has_role('undercroft_fleet', 'USAGE') THEN
    RAISE 'not a member of undercroft_fleet' USING ERRCODE = 'UC004';
  END IF;
  PERFORM undercroft.enter_sealed(context);
END
$$;

-- The scope that is entered, NULL where none is. UC005 without a seal, UC006 and UC007 as above: whatever SQL has written
-- into the setting, only a ticket of enter_sealed() for this very transaction opens anything.
CREATE FUNCTION undercroft.opened() RETURNS text LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  said text := nullif(current_setting('undercroft.tenant', true), '');
BEGIN
  IF said IS NULL THEN
    RETURN NULL;
  ELSIF strpos(said, '|') = 0 THEN
    IF undercroft.seal_mode() = 'grace' THEN
      RETURN said;
    END IF;
    RAISE 'the tenant was entered without a seal' USING ERRCODE = 'UC005';
  ELSIF NOT EXISTS (
    SELECT FROM undercroft.seal_keys k
    WHERE sha256(k.outer_pad || convert_to(right(said, 64), 'UTF8')) = sha256(k.outer_pad || convert_to(encode(
      sha256(k.outer_pad || sha256(k.inner_pad || convert_to(concat_ws(
        '|', 'here', left(said, -65), pg_backend_pid(), extract(epoch FROM transaction_timestamp())), 'UTF8'))), 'hex'), 'UTF8'))
  ) THEN
    RAISE 'the ticket is not of this transaction' USING ERRCODE = 'UC006';
  ELSIF split_part(said, '|', 2)::numeric < extract(epoch FROM clock_timestamp()) THEN
    RAISE 'the seal has expired' USING ERRCODE = 'UC007';
  END IF;
  RETURN split_part(said, '|', 1);
END
$$;

-- What stands in place of enter() and enter_fleet() while the database is sealed: they would tell which tenants exist.
CREATE FUNCTION undercroft.refuse_enter(wanted uuid) RETURNS uuid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE 'the database is sealed' USING ERRCODE = 'UC005';
END
$$;

CREATE FUNCTION undercroft.refuse_enter_fleet() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE 'the database is sealed' USING ERRCODE = 'UC005';
END
$$;

-- Changes the mode; the owner's alone. UC008 on Citus, whose workers have neither the keys nor these functions' rights;
-- UC009 without a key. A revision that replaces enter(), enter_fleet(), tenant(), fleet_or_tenant() or in_fleet() begins
-- with set_seal('plain') and ends with the mode that it found.
CREATE FUNCTION undercroft.set_seal(wanted text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $set_seal$
DECLARE
  mode text := undercroft.seal_mode();
  walled regclass;
BEGIN
  IF wanted <> 'plain' AND EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
    RAISE 'Citus cannot be sealed' USING ERRCODE = 'UC008';
  ELSIF wanted <> 'plain' AND NOT EXISTS (SELECT FROM undercroft.seal_keys) THEN
    RAISE 'there is no key' USING ERRCODE = 'UC009';
  ELSIF wanted = mode THEN
    RETURN;
  END IF;
  IF wanted = 'sealed' THEN -- a transaction that holds a table keeps the plans that it has for it: it ends first
    FOR walled IN
      SELECT oid FROM pg_class
      WHERE relnamespace = 'undercroft'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname
    LOOP
      EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', walled);
    END LOOP;
  END IF;
  IF mode = 'sealed' THEN
    ALTER FUNCTION undercroft.enter(uuid) RENAME TO refuse_enter;
    ALTER FUNCTION undercroft.enter_fleet() RENAME TO refuse_enter_fleet;
    ALTER FUNCTION undercroft.plain_enter(uuid) RENAME TO enter;
    ALTER FUNCTION undercroft.plain_enter_fleet() RENAME TO enter_fleet;
    GRANT EXECUTE ON FUNCTION undercroft.enter(uuid), undercroft.enter_fleet() TO undercroft_app, undercroft_fleet;
  ELSIF wanted = 'sealed' THEN
    REVOKE EXECUTE ON FUNCTION undercroft.enter(uuid), undercroft.enter_fleet() FROM undercroft_app, undercroft_fleet;
    ALTER FUNCTION undercroft.enter(uuid) RENAME TO plain_enter;
    ALTER FUNCTION undercroft.enter_fleet() RENAME TO plain_enter_fleet;
    ALTER FUNCTION undercroft.refuse_enter(uuid) RENAME TO enter;
    ALTER FUNCTION undercroft.refuse_enter_fleet() RENAME TO enter_fleet;
  END IF;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION undercroft.seal_mode() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE RETURN %L::text', wanted);
  IF wanted = 'plain' THEN -- as the first revision has them
    EXECUTE $plain$
      CREATE OR REPLACE FUNCTION undercroft.tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
      RETURN coalesce(
        nullif(nullif(current_setting('undercroft.tenant', true), ''), 'fleet')::uuid,
        undercroft.refuse_nobody(nullif(current_setting('undercroft.tenant', true), 'fleet')))
    $plain$;
    EXECUTE $plain$
      CREATE OR REPLACE FUNCTION undercroft.fleet_or_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
      RETURN coalesce(
        nullif(nullif(current_setting('undercroft.tenant', true), ''), 'fleet')::uuid,
        undercroft.refuse_nobody(current_setting('undercroft.tenant', true)))
    $plain$;
    EXECUTE $plain$
      CREATE OR REPLACE FUNCTION undercroft.in_fleet() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
      RETURN coalesce(current_setting('undercroft.tenant', true) = 'fleet', false)
    $plain$;
  ELSE
    EXECUTE $sealed$
      CREATE OR REPLACE FUNCTION undercroft.tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL RESTRICTED
      RETURN coalesce(nullif(undercroft.opened(), 'fleet')::uuid, undercroft.refuse_nobody(NULL))
    $sealed$;
    EXECUTE $sealed$
      CREATE OR REPLACE FUNCTION undercroft.fleet_or_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL RESTRICTED
      RETURN nullif(coalesce(undercroft.opened(), undercroft.refuse_nobody(NULL)::text), 'fleet')::uuid
    $sealed$;
    EXECUTE $sealed$
      CREATE OR REPLACE FUNCTION undercroft.in_fleet() RETURNS boolean LANGUAGE sql STABLE PARALLEL RESTRICTED
      RETURN coalesce(undercroft.opened() = 'fleet', false)
    $sealed$;
  END IF;
END
$set_seal$;

REVOKE ALL ON FUNCTION undercroft.seal_mode(), undercroft.enter_sealed(text), undercroft.enter_fleet_sealed(text),
  undercroft.opened(), undercroft.refuse_enter(uuid), undercroft.refuse_enter_fleet(), undercroft.set_seal(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION undercroft.seal_mode(), undercroft.enter_sealed(text), undercroft.enter_fleet_sealed(text),
  undercroft.opened(), undercroft.refuse_enter(uuid), undercroft.refuse_enter_fleet() TO undercroft_app, undercroft_fleet;
