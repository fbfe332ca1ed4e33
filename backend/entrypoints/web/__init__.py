"""The web service: what Label Studio asks and tells, probes and figures, and who may ask."""
