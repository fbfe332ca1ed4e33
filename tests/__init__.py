"""Tests by layer: unit, contract, integration, e2e."""
