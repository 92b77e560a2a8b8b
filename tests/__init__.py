"""Tests: the rooms, mirrored."""
