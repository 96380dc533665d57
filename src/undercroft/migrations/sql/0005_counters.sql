-- A counter changes no index: its next version stays on the page, where the dead ones are taken out while it is read.
ALTER TABLE undercroft.api_rate_limit_usage SET (fillfactor = 50);
