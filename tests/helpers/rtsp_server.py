"""A real RTSP server, GStreamer's: `python3 tests/helpers/rtsp_server.py PICTURES PORT`, run by the system's Python.

It plays numbered motion JPEG pictures (a pattern such as frame-%03d.jpg, 640x480) at 25 frames per second, again and
again, or a .mkv of motion JPEG once, at rtsp://127.0.0.1:PORT/faces, and says "ready" when it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - after their versions

pictures, port = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory()
if pictures.endswith(".mkv"):
    factory.set_launch(f'( filesrc location="{pictures}" ! matroskademux ! rtpjpegpay name=pay0 )')
else:
    caps = "image/jpeg,framerate=25/1,width=640,height=480"
    factory.set_launch(f'( multifilesrc location="{pictures}" loop=true caps="{caps}" ! rtpjpegpay name=pay0 )')
    factory.set_shared(True)
server.get_mount_points().add_factory("/faces", factory)
if not server.attach(None):
    sys.exit(f"port {port} cannot be listened on")
print("ready", flush=True)
GLib.MainLoop().run()
