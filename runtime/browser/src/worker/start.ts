import { Remote } from "./rpc";
import type { Facts } from "./engine";

/** A worker with the site's networks open. threads: wanted; the facts say how many it has. */
export async function startEngine(threads: number): Promise<{ engine: Remote; facts: Facts }> {
  const engine = new Remote(new Worker(new URL("./engine.ts", import.meta.url), { type: "module" }));
  const facts = await engine.call<Facts>("open", [document.baseURI, threads]);
  return { engine, facts };
}
