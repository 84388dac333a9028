"""Where results go: lines, recordings, a window, a web page, MQTT, systemd."""
