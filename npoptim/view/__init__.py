"""Everything people look at: pictures, tables, and how they get into files."""
