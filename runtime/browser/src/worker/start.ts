import { Remote } from "./rpc";
import type { Facts } from "./engine";

/** A worker, and what is known of its networks. */
export interface Opened { engine: Remote; facts: Facts }

/** A worker with the site's networks open. threads: wanted; the facts say how many it has. faces: see `open`. */
export async function startEngine(threads: number, faces: boolean): Promise<Opened> {
  const engine = new Remote(new Worker(new URL("./engine.ts", import.meta.url), { type: "module" }));
  const facts = await engine.call<Facts>("open", [document.baseURI, threads, faces]);
  return { engine, facts };
}
