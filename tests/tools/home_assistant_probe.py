"""Home Assistant with its MQTT integration alone, for tools.home_assistant: runs in the environment that that makes.

Takes a folder and the broker's port; for each line on standard input it writes one of JSON: the states of all sensors.
"""

import asyncio
import json
import logging
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, loader
from homeassistant.auth import auth_manager_from_config
from homeassistant.config import async_process_ha_core_config
from homeassistant.config_entries import SOURCE_USER, ConfigEntries, ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component


async def run(folder: str, port: int) -> None:
    """Serve until standard input ends."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    (Path(folder) / "configuration.yaml").touch()
    home = HomeAssistant(folder)
    home.config.skip_pip = True
    loader.async_setup(home)
    settings = {"http": {"server_host": "127.0.0.1", "server_port": free_port()}}
    home.config_entries = ConfigEntries(home, settings)
    await bootstrap.async_load_base_functionality(home)
    home.auth = await auth_manager_from_config(home, [], [])
    await async_process_ha_core_config(home, {})
    assert await async_setup_component(home, "http", settings)
    entry = ConfigEntry(
        version=1, minor_version=1, domain="mqtt", title="mqtt", source=SOURCE_USER,
        data={"broker": "127.0.0.1", "port": port, "discovery": True}, options={},
    )  # fmt: skip
    await home.config_entries.async_add(entry)
    await home.async_start()
    print(json.dumps({"mqtt": entry.state.value}), flush=True)
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    while await lines.get():
        print(json.dumps(sensors(home)), flush=True)
    await home.async_stop(force=True)


def sensors(home: HomeAssistant) -> dict[str, Any]:
    """State, unit, device and unique id of each sensor, by its name."""
    registered, devices = entity_registry.async_get(home), device_registry.async_get(home)
    found = {}
    for state in home.states.async_all("sensor"):
        known = registered.async_get(state.entity_id)
        device = devices.async_get(known.device_id) if known and known.device_id else None
        found[state.entity_id] = {
            "state": state.state,
            "unit": state.attributes.get("unit_of_measurement"),
            "unique_id": known.unique_id if known else None,
            "device": device.name if device else None,
        }
    return found


def free_port() -> int:
    """For the server that the integration wants to be there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
