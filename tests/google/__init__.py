"""Sessions in Google's storage."""
