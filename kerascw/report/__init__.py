"""Draw pages, charts and tables of kept runs and studies. A report reads and never trains."""
