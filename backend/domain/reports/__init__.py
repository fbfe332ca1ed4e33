"""Reports: what commands, pages and Prometheus read. Records only; what computes them stands in other rooms.

Their JSON (`backend.domain.codec`) is public: `metrics.json`, the reports in the database, `--json`.
"""
