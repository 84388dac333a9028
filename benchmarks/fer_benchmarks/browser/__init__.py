"""The page that runs in a browser, served as a host would and driven in Chromium."""
