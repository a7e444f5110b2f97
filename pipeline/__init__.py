"""The command line, and what joins the rooms."""
