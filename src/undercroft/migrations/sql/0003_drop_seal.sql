-- A blank line after a semicolon ends a statement.

SELECT undercroft.set_seal('plain');

DROP FUNCTION undercroft.set_seal(text), undercroft.enter_fleet_sealed(text), undercroft.enter_sealed(text);

DROP FUNCTION undercroft.opened(), undercroft.refuse_enter(uuid), undercroft.refuse_enter_fleet();

DROP FUNCTION undercroft.seal_mode();

DROP TABLE undercroft.seal_keys;
