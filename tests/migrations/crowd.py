"""A database with many tenants and messages, made by SQL straight in the tables: what a bot has after two years."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import undercroft
from undercroft.archive import AttachmentRecord, ChannelRecord, MentionRecord, MessageRecord, ReactionRecord, UserRecord
from undercroft.core.clock import from_slack_ts, micros
from undercroft.core.dialects.sqlite_search import docid
from undercroft.core.searchtext import fts5_text

OURS = "slack:TCROWD"
LARGE, SMALL = 10, 500
"""So many tenants share the messages, one each in turn; so many have channels and users only."""
LASTED = timedelta(days=730)
BEGAN = datetime.now(UTC).replace(microsecond=0) - LASTED - timedelta(days=1)
ROOT = f"{int(BEGAN.timestamp()) + 10_000_000}.000100"
"""The root of a thread in C1."""

# {name} is filled in. Ids are the milliseconds of the time, then a number; 20 users write into 10 channels.
POSTGRESQL = """
SELECT undercroft.ensure_partitions('{began}', now());

INSERT INTO undercroft.tenants (tenant_id, platform, native_id, name, plan_tier, created_at, updated_at)
SELECT gen_random_uuid(), 'slack', 'T' || n, 'T' || n, CASE WHEN n % 20 = 0 THEN 'pro' ELSE 'free' END, now(), now()
FROM generate_series(1, {small} + {large} - 1) n;

INSERT INTO undercroft.users (tenant_id, id, platform, native_id, email, created_at, updated_at)
SELECT tenant_id, gen_random_uuid(), 'slack', 'U' || n, 'u' || n || '@example.org', now(), now()
FROM undercroft.tenants, generate_series(0, 19) n WHERE name <> 'crowd';

INSERT INTO undercroft.channels (tenant_id, id, native_id, name, kind)
SELECT tenant_id, gen_random_uuid(), 'C' || n, 'C' || n, 'public'
FROM undercroft.tenants, generate_series(0, 9) n WHERE name <> 'crowd';

INSERT INTO undercroft.channel_members
SELECT c.tenant_id, c.id, u.id FROM undercroft.channels c JOIN undercroft.users u USING (tenant_id)
WHERE right(u.native_id, 1) = right(c.native_id, 1)
ON CONFLICT DO NOTHING;

CREATE TEMP TABLE large AS
SELECT row_number() OVER (ORDER BY name = 'crowd' DESC, tenant_id) - 1 AS i, tenant_id,
  ARRAY(SELECT id FROM undercroft.channels c WHERE c.tenant_id = t.tenant_id ORDER BY id LIMIT 10) AS channels,
  ARRAY(SELECT id FROM undercroft.users u WHERE u.tenant_id = t.tenant_id ORDER BY id LIMIT 20) AS users
FROM undercroft.tenants t WHERE name <> 'local:default' ORDER BY 1 LIMIT {large};

CREATE FUNCTION pg_temp.sent(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT '{began}'::timestamptz + '{days} days'::interval * n / {messages} $$;

CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM pg_temp.sent(n)) * 1000)::bigint), 12, '0') || '80008'
  || lpad(to_hex(n), 15, '0'))::uuid $$;

INSERT INTO undercroft.messages (tenant_id, id, channel_id, author_id, native_id, text, sent_at, thread_id, has_file,
  has_link, has_reaction, search_version, search)
SELECT l.tenant_id, pg_temp.id(n), l.channels[1 + n / 10 % 10], l.users[1 + n / 100 % 20], 'm' || n,
  'message ' || n || ' is one of very many that nobody will read again ' || repeat('alike ', n % 20), pg_temp.sent(n),
  CASE n / 100 % 5 WHEN 0 THEN pg_temp.id(n) WHEN 1 THEN pg_temp.id(n - 100) WHEN 2 THEN pg_temp.id(n - 200) END,
  n / 10 % 20 = 0, n / 10 % 7 = 0, n / 10 % 10 = 0, 1,
  ('''every'':1 ''word' || n / 10 % 1000 || ''':2'
    || CASE n / 10 % 5000 WHEN 7 THEN ' ''rare'':3' ELSE '' END)::tsvector
FROM generate_series(1, {messages}) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.attachments (tenant_id, message_id, position, native_id, kind)
SELECT tenant_id, id, 0, 'F1', 'file' FROM undercroft.messages WHERE has_file;

INSERT INTO undercroft.reactions SELECT tenant_id, id, 'tada', 1 FROM undercroft.messages WHERE has_reaction;

INSERT INTO undercroft.reaction_users (tenant_id, message_id, emoji, user_id)
SELECT tenant_id, id, 'tada', author_id FROM undercroft.messages WHERE has_reaction;

INSERT INTO undercroft.mentions SELECT tenant_id, id, 'user', 'U1', author_id FROM undercroft.messages WHERE has_link;

INSERT INTO undercroft.message_versions (tenant_id, message_id, version, text, seen_at)
SELECT tenant_id, id, 1, 'before', sent_at FROM undercroft.messages WHERE has_file;

INSERT INTO undercroft.audit_events (tenant_id, id, event_type, category, action, status, actor, resource_type,
  resource_id, occurred_at, canonical, event_hash)
SELECT l.tenant_id, pg_temp.id(n), 'seed.step', 'seed', 'step',
  CASE n / 10 % 50 WHEN 0 THEN 'failure' ELSE 'success' END, 'U' || n / 20 % 100, 'config', 'key' || n / 20 % 500,
  pg_temp.sent(n), '\\x7b7d', sha256('')
FROM generate_series(1, {messages}, 20) m, generate_series(m, m + 9) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.query_history (tenant_id, id, user_native_id, question, sql_hash, database, status, started_at,
  execution_time_ms, approved_at)
SELECT l.tenant_id, pg_temp.id(n), 'U' || n / 10 % 100, 'how many?', sha256(int4send((n / 10 % 500)::int)),
  'DB' || n / 10 % 50, CASE n / 10 % 50 WHEN 0 THEN 'failed' ELSE 'success' END, pg_temp.sent(n), n % 1000,
  CASE n / 10 % 50 WHEN 7 THEN now() END
FROM generate_series(1, {messages}, 50) m, generate_series(m, m + 9) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.user_sessions (tenant_id, id, user_native_id, channel, started_at, last_activity_at, ended_at)
SELECT l.tenant_id, pg_temp.id(n), 'U' || n / 10 % 100, 'C' || n, now(), now(),
  CASE n / 10 % 50 WHEN 0 THEN NULL ELSE now() END
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.api_rate_limits (tenant_id, name, kind, amount, per, burst, each, parts, length, refill,
  updated_at)
SELECT tenant_id, 'limit ' || n, 'bucket', 10, 'day', 10, 'user', 86400000, 86400000, 10, now()
FROM undercroft.tenants, generate_series(1, 5) n WHERE name <> 'crowd';

INSERT INTO undercroft.api_rate_limit_usage (tenant_id, name, user_native_id, resource, period, ends, used, at,
  capacity, refill)
SELECT l.tenant_id, 'limit ' || n / 10 % 5, 'U' || n, '', -86400000, 0, 1, 1, 864000000, 10
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.threads (tenant_id, id, key, owner, first_position, last_position, stored_from, created_at,
  last_activity_at, active_hour)
SELECT l.tenant_id, pg_temp.id(n), 'T' || n / {large}, 'U' || n / 10 % 100, 1,
  CASE n / {large} WHEN 1 THEN 2000 ELSE 1 END, 1, pg_temp.sent(n), pg_temp.sent(n),
  floor(extract(epoch FROM pg_temp.sent(n)) / 3600)
FROM generate_series({large}, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.thread_messages (tenant_id, thread_id, position, role, content, created_at)
SELECT tenant_id, id, n, 'user', 'how many?', created_at
FROM undercroft.threads, generate_series(1, last_position) n;

INSERT INTO undercroft.metrics (tenant_id, id, name, value, measured_at, rolled_up)
SELECT l.tenant_id, pg_temp.id(n), 'M' || n / 10 % 50, n % 1000, pg_temp.sent(n), n / 10 % 100 > 0
FROM generate_series(1, {messages}, 50) m, generate_series(m, m + 9) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.user_mappings (tenant_id, user_id, native_id, database_user, role, allowed_databases,
  permissions, created_at, updated_at)
SELECT tenant_id, id, native_id, 'u', '', '[]', '[]', now(), now() FROM undercroft.users;

INSERT INTO undercroft.secrets (tenant_id, name, id, version, value, created_at, updated_at)
SELECT l.tenant_id, 'secret' || n, gen_random_uuid(), 1, '', now(), now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.configurations (tenant_id, key, version, category, description, is_sensitive, value, created_at,
  updated_at)
SELECT l.tenant_id, 'config' || n, 3, 'category' || n / {large} % 50, '', false, '1', now(), now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.config_audit (tenant_id, key, version, position, change, category, description, is_sensitive,
  value, changed_at)
SELECT tenant_id, key, v, 3 * row_number() OVER (PARTITION BY tenant_id, v ORDER BY key) + v, 'set', category, '',
  false, '1', now()
FROM undercroft.configurations, generate_series(1, 3) v;

INSERT INTO undercroft.app_settings (tenant_id, name, kind, value, created_at, updated_at)
SELECT l.tenant_id, 'setting' || n, 'int', n, now(), now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.feature_flags (tenant_id, name, enabled, users, except_users, created_at, updated_at)
SELECT l.tenant_id, 'flag' || n, true, '[]', '[]', now(), now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.user_preferences (tenant_id, user_native_id, name, kind, value, updated_at)
SELECT l.tenant_id, 'U' || n / 10 % 100, 'setting' || n, 'int', n, now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.crm_connections (tenant_id, id, provider, credentials, is_default, connected_at, updated_at)
SELECT tenant_id, tenant_id, 'hubspot', 'env:KEY', true, now(), now() FROM undercroft.tenants;

INSERT INTO undercroft.account_mappings (tenant_id, connection_id, email_domain, account_id, verified, created_at,
  updated_at)
SELECT l.tenant_id, l.tenant_id, 'd' || n / {large} || '.example', 'A' || n, n % 2 = 0, now(), now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.meeting_sessions (tenant_id, id, source, native_id, user_native_id, state, version, attempts,
  created_at, updated_at)
SELECT l.tenant_id, pg_temp.id(n), 'seed', n, 'U' || n / 10 % 100,
  CASE n / 10 % 50 WHEN 0 THEN 'failed' ELSE 'pushed' END, 3, 0, now(), now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.meeting_changes (tenant_id, meeting_id, version, state, at)
SELECT tenant_id, id, v, 'received', created_at FROM undercroft.meeting_sessions, generate_series(1, 3) v;

INSERT INTO undercroft.quarantine
SELECT l.tenant_id, gen_random_uuid(), 'export.zip', 'general/1.json', n, 'not an object', '1', now()
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.change_versions (tenant_id, topic, version)
SELECT l.tenant_id, 'topic ' || n, 1 FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

INSERT INTO undercroft.idempotency_keys (tenant_id, operation, key, request_hash, created_at, expires_at)
SELECT l.tenant_id, 'seed', 'key' || n, '', now(), now() + interval '1 day'
FROM generate_series(1, 20000) n JOIN large l ON l.i = n % {large};

VACUUM (ANALYZE);
"""

# From the messages, which Python makes: ten tenants with ten channels and twenty users each.
SQLITE = """
INSERT INTO attachments (tenant_id, message_id, position, native_id, kind)
SELECT tenant_id, id, 0, 'F1', 'file' FROM messages WHERE has_file;

INSERT INTO reactions SELECT tenant_id, id, 'tada', 1 FROM messages WHERE has_file;

INSERT INTO mentions SELECT tenant_id, id, 'user', 'U1', author_id FROM messages WHERE has_file;

INSERT INTO audit_events (tenant_id, id, event_type, category, action, status, actor, resource_type, resource_id,
  occurred_at, canonical, event_hash)
SELECT tenant_id, id, 'seed.step', 'seed', 'step', iif(rowid % 50, 'success', 'failure'), 'U' || rowid % 100, 'config',
  'key' || rowid % 500, sent_at, x'7b7d', zeroblob(32)
FROM messages;

INSERT INTO query_history (tenant_id, id, user_native_id, question, sql_hash, database, status, started_at)
SELECT tenant_id, id, 'U' || rowid % 100, 'how many?', zeroblob(32), 'DB' || rowid % 50, 'success', sent_at
FROM messages;

INSERT INTO user_sessions (tenant_id, id, user_native_id, channel, started_at, last_activity_at)
SELECT tenant_id, id, 'U' || rowid % 100, 'C' || rowid, sent_at, sent_at FROM messages WHERE has_file;

INSERT INTO api_rate_limits (tenant_id, name, kind, amount, per, burst, each, parts, length, refill, updated_at)
SELECT tenant_id, 'limit ' || native_id, 'bucket', 10, 'day', 10, 'user', 86400000, 86400000, 10, 0 FROM users;

INSERT INTO api_rate_limit_usage (tenant_id, name, user_native_id, resource, period, ends, used, at, capacity, refill)
SELECT tenant_id, 'limit ' || rowid % 5, 'U' || rowid, '', -86400000, 0, 1, 1, 864000000, 10
FROM messages WHERE has_file;

INSERT INTO secrets (tenant_id, name, id, version, value, created_at, updated_at)
SELECT tenant_id, 'secret' || rowid, id, 1, x'', sent_at, sent_at FROM messages;

INSERT INTO configurations (tenant_id, key, version, category, description, is_sensitive, value, created_at, updated_at)
SELECT tenant_id, 'config' || rowid, 1, 'category' || rowid % 50, '', 0, '1', sent_at, sent_at FROM messages;

INSERT INTO config_audit (tenant_id, key, version, position, change, category, description, is_sensitive, value,
  changed_at)
SELECT tenant_id, key, 1, rowid, 'set', category, '', 0, '1', created_at FROM configurations;

INSERT INTO app_settings (tenant_id, name, kind, value, created_at, updated_at)
SELECT tenant_id, 'setting' || rowid, 'int', rowid, sent_at, sent_at FROM messages;

INSERT INTO feature_flags (tenant_id, name, enabled, users, except_users, created_at, updated_at)
SELECT tenant_id, 'flag' || rowid, 1, '[]', '[]', sent_at, sent_at FROM messages;

INSERT INTO user_preferences (tenant_id, user_native_id, name, kind, value, updated_at)
SELECT tenant_id, 'U' || rowid % 100, 'setting' || rowid, 'int', rowid, sent_at FROM messages;

INSERT INTO threads (tenant_id, id, key, owner, first_position, last_position, stored_from, created_at,
  last_activity_at, active_hour)
SELECT tenant_id, id, 'T' || rowid / 10, 'U' || rowid % 100, 1, 1, 1, sent_at, sent_at, sent_at / 3600000000
FROM messages WHERE true ON CONFLICT DO NOTHING;

INSERT INTO thread_messages (tenant_id, thread_id, position, role, content, created_at)
SELECT tenant_id, id, 1, 'user', 'how many?', created_at FROM threads;

INSERT INTO metrics (tenant_id, id, name, value, measured_at, rolled_up)
SELECT tenant_id, id, 'M' || rowid % 50, rowid % 1000, sent_at, rowid % 100 > 0 FROM messages;

INSERT INTO crm_connections (tenant_id, id, provider, credentials, is_default, connected_at, updated_at)
SELECT tenant_id, tenant_id, 'hubspot', 'env:KEY', 1, 0, 0 FROM tenants;

INSERT INTO account_mappings (tenant_id, connection_id, email_domain, account_id, verified, created_at, updated_at)
SELECT tenant_id, tenant_id, 'd' || rowid || '.example', 'A', rowid % 2, sent_at, sent_at FROM messages WHERE has_file;

INSERT INTO meeting_sessions (tenant_id, id, source, native_id, user_native_id, state, version, attempts, created_at,
  updated_at)
SELECT tenant_id, id, 'seed', rowid, 'U' || rowid % 100, iif(rowid % 50, 'pushed', 'failed'), 3, 0, sent_at, sent_at
FROM messages;

INSERT INTO meeting_changes (tenant_id, meeting_id, version, state, at)
SELECT tenant_id, id, 1, 'received', created_at FROM meeting_sessions;

INSERT INTO quarantine
SELECT tenant_id, id, 'export.zip', 'general/1.json', rowid, 'no object', '1', sent_at FROM messages;

INSERT INTO messages_fts (rowid, tenant, body) SELECT docid, tenant, body FROM message_search ORDER BY docid;
"""


def fill(app_url: str, run: Callable[[str], object], *, messages: int) -> None:
    """Make the crowd on PostgreSQL; ``run`` is an administrator's, always on one connection."""
    with undercroft.Store(app_url) as store:
        ours = _begun(store, OURS, name="crowd")
        *statements, vacuum = POSTGRESQL.strip().split(";\n\n")
        values = {"small": SMALL, "large": LARGE, "messages": messages, "began": BEGAN, "days": LASTED.days}
        for statement in statements:
            text = statement
            for name, value in values.items():
                text = text.replace(f"{{{name}}}", str(value))
            run(text)
        _end(ours)
        run(vacuum)


def fill_file(path: Path, *, messages: int) -> None:
    """Make the crowd in a file, with its large tenants only."""
    with undercroft.Store(f"sqlite:///{path}") as store:
        ours = _begun(store, OURS, name="crowd")
        tenants = [ours, *(_begun(store, f"slack:T{n}", plan_tier="pro" if n % 5 else "free") for n in range(1, LARGE))]
        with closing(sqlite3.connect(path)) as connection:
            _fill_file(connection, [tenant.id.bytes for tenant in tenants], messages)
        _end(ours)


def _fill_file(connection: sqlite3.Connection, tenants: list[bytes], messages: int) -> None:
    channels, users = (
        {tenant: [id_ for (id_,) in connection.execute(ids, (tenant,))] for tenant in tenants}
        for ids in ("SELECT id FROM channels WHERE tenant_id = ?", "SELECT id FROM users WHERE tenant_id = ?")
    )
    rows, words = [], []
    for n in range(1, messages + 1):
        tenant, moment = tenants[n % LARGE], BEGAN + LASTED * n / messages
        id_ = bytes.fromhex(f"{micros(moment) // 1000:012x}80008{n:015x}")
        channel, author = channels[tenant][n // 10 % 10], users[tenant][n // 100 % 20]
        thread = id_ if n // 100 % 5 == 0 else None
        rows.append((tenant, id_, channel, author, f"m{n}", f"message {n}", micros(moment), n // 10 % 20 == 0, thread))
        body = fts5_text(["every", f"word{n // 10 % 1000}"] + ["rare"] * (n // 10 % 5000 == 7))
        words.append((docid(UUID(bytes=id_)), tenant, id_, tenant.hex(), body))
    connection.executemany(
        "INSERT INTO messages (tenant_id, id, channel_id, author_id, native_id, text, sent_at, has_file, thread_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.executemany("INSERT INTO message_search VALUES (?, ?, ?, ?, ?)", words)
    connection.executescript(SQLITE)
    connection.commit()


def _begun(store: undercroft.Store, key: str, **fields: Any) -> Any:
    store.tenants.ensure(key, **fields)
    tenant = store.tenant(key)
    people = [UserRecord(native_id=f"U{n}", name=f"u{n}", email=f"u{n}@example.org") for n in range(20)]
    members = tuple(person.native_id for person in people)
    tenant.archive.save_users(people)
    tenant.archive.save_channels(
        [ChannelRecord(native_id=f"C{n}", name=f"c{n}", kind="public", members=members) for n in range(10)]
    )
    return tenant


def _end(ours: Any) -> None:
    """What must have ids that the library computes: a thread with all that belongs to messages, a session, a query."""
    ours.goals.save("G1", title="Grow", area="A1", progress=10)
    ours.threads.append("T1", role="user", content="how many?")

    def message(seconds: int) -> MessageRecord:
        native_id = f"{int(float(ROOT)) + seconds}.000100"
        return MessageRecord(
            channel="C1",
            native_id=native_id,
            author="U1",
            text=f"reply {seconds} <@U2>",
            sent_at=from_slack_ts(native_id),
            thread=ROOT,
            reply_to=ROOT if seconds else None,
            reactions=(ReactionRecord(emoji="tada", count=2, users=("U1", "U2")),),
            attachments=(AttachmentRecord(native_id="F1", kind="file", name="plan.pdf"),),
            mentions=(MentionRecord(kind="user", native_id="U2"),),
            links=("https://example.org",),
        )

    ours.archive.save_messages([message(seconds) for seconds in range(20)])
    ours.sessions.start("U1", channel="C1")
    ours.limits.define("limit 1", 10, per="day", kind="bucket", each="user")
    ours.secrets.set("token", "xoxb")
    ours.config.set("greeting", "Hi")
    ours.config.set("greeting", "Hej", category="texts")
    ours.users.map_database("U1", database_user="reader")
    ours.queries.log("how many?", sql="SELECT 1", user="U1", database="DB1")
