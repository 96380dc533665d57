-- A table whose rows come and go: autovacuum cleans it after one row in fifty has changed, not after one in five.
ALTER TABLE undercroft.{table} SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
