"""The locator: a small network that says where a known face is now, distilled from the detector."""
