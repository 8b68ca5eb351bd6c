"""The files of a report: each writer renders the sections that it has a form for."""
