"""The SMTP server: takes mail durably, or puts it off. Talks to the database and the content storage only (rule 4)."""
