import { Remote } from "./rpc";
import type { Facts } from "./engine";

/** A worker, and what is known of its networks. */
export interface Opened { engine: Remote; facts: Facts }

export function newEngine(): Remote {
  return new Remote(new Worker(new URL("./engine.ts", import.meta.url), { type: "module" }));
}

/** Open the site's networks in a worker. threads: wanted; the facts say how many it has. faces: see `open`. */
export function openEngine(engine: Remote, threads: number, faces: boolean): Promise<Facts> {
  return engine.call<Facts>("open", [document.baseURI, threads, faces]);
}
