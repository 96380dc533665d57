ALTER VIEW undercroft.user_activity_summary RENAME COLUMN last_activity TO last_activity_at;
