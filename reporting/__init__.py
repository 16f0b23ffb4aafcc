"""Results for people to read: pages of tables, plots and passages that need nothing but a browser."""
