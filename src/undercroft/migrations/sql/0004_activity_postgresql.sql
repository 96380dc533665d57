ALTER VIEW undercroft.user_activity_summary RENAME COLUMN last_activity_at TO last_activity;
