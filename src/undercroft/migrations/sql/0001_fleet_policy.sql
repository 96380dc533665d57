-- The walls of undercroft.tenants: a tenant sees its own row, the fleet sees and writes all of them.
-- A blank line after a semicolon ends a statement.

ALTER TABLE undercroft.tenants ENABLE ROW LEVEL SECURITY;

ALTER TABLE undercroft.tenants FORCE ROW LEVEL SECURITY;

-- A login may be a member of both roles, so the fleet's scope must not run into undercroft.tenant(), which raises.
CREATE POLICY app ON undercroft.tenants FOR SELECT TO undercroft_app
  USING (tenant_id = (SELECT undercroft.fleet_or_tenant()));

CREATE POLICY wall ON undercroft.tenants AS RESTRICTIVE TO undercroft_app
  USING ((SELECT undercroft.in_fleet()) OR tenant_id = (SELECT undercroft.fleet_or_tenant()))
  WITH CHECK ((SELECT undercroft.in_fleet()));

CREATE POLICY fleet ON undercroft.tenants TO undercroft_fleet
  USING ((SELECT undercroft.in_fleet())) WITH CHECK ((SELECT undercroft.in_fleet()));

CREATE POLICY owner ON undercroft.tenants TO undercroft_owner USING (true) WITH CHECK (true);

GRANT SELECT ON undercroft.tenants TO undercroft_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON undercroft.tenants TO undercroft_fleet;
